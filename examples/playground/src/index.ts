/** The page has no interface of its own: `pnpm playground` opens it. */
export type * from './messages.js';
