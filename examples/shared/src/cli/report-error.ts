import { BytelmError } from '@bytelm/core';

/** What the user reads about an error: one message for what bytelm or the system refused, the stack for anything that is a bug. */
export function errorText(e: unknown): string {
  if (BytelmError.is(e)) return `error: ${e.message}`;
  if (e instanceof Error && 'code' in e && typeof e.code === 'string' && /^E[A-Z]+$/.test(e.code)) return `error: ${e.message}`;
  return `error: this should not have happened, please report it.\n${e instanceof Error ? (e.stack ?? e.message) : String(e)}`;
}
