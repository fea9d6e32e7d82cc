/** True in Node (and what behaves like it), false in browsers and their workers. */
export function isNode(): boolean {
  return typeof process !== 'undefined' && typeof process.versions?.node === 'string';
}

/**
 * `require` as seen from this package. Bundlers see neither it nor what is loaded by it, so a page does not have to resolve packages
 * that only Node uses. Call only where {@link isNode}.
 */
export function nodeRequire(): NodeJS.Require {
  const { createRequire } = process.getBuiltinModule('node:module');
  return createRequire(import.meta.url);
}

/** Hidden from bundlers: for ES modules that exist in Node only. */
export const importInNode = (specifier: string): Promise<any> => import(/* @vite-ignore */ /* webpackIgnore: true */ specifier);

/** The first line of an error, without the stack and the lists that some loaders add. */
export function firstLine(e: unknown): string {
  const text = e instanceof Error ? e.message : String(e);
  return (text.split('\n').find((l) => l.trim()) ?? text).trim();
}

/** An environment variable, or `undefined` in browsers. */
export function environmentVariable(name: string): string | undefined {
  return typeof process === 'undefined' ? undefined : process.env?.[name] || undefined;
}
