// Package names → sources, for tools that bundle or test without a build (vitest, Vite): a stack trace then names the line one wrote.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** @returns {{ find: RegExp, replacement: string }[]} */
export function sourceAliases() {
  const folders = (of, scope) =>
    readdirSync(at(of), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== 'data')
      .flatMap(({ name }) => [
        { find: new RegExp(`^@bytelm/${scope}${name}$`), replacement: at(`${of}/${name}/src/index.ts`) },
        { find: new RegExp(`^@bytelm/${scope}${name}/([a-z-]+)$`), replacement: at(`${of}/${name}/src/$1/index.ts`) },
      ]);
  return [{ find: /^@bytelm\/core\/gradients$/, replacement: at('packages/core/src/gradients.ts') }, ...folders('packages', ''), ...folders('examples', 'example-')];
}
