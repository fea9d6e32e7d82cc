import { fileURLToPath } from 'node:url';
import type { Options } from 'tsup';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

/**
 * How every package is built: ESM and CommonJS with types, one flat file per entry of the `exports` map
 * (`./train` is `src/train/index.ts`, or `src/train.ts`). Peers and dependencies stay outside.
 * @param entry file of each subpath, e.g. `{ index: 'src/index.ts' }`
 */
export function packageBuild(entry: Record<string, string>): Options {
  return {
    entry,
    format: ['esm', 'cjs'],
    dts: true,
    tsconfig: fileURLToPath(new URL('./tsconfig.json', import.meta.url)),
    target: 'es2022',
    platform: 'neutral',
    shims: true,
    splitting: true,
    sourcemap: true,
    clean: true,
    removeNodeProtocol: false,
    external: [/^@bytelm\//, /^@tensorflow\//, /^node:/],
    esbuildPlugins: [gradientsApart(), noSources()],
    plugins: [nodeImportsHidden()],
  };
}

/**
 * Imports of Node's modules run in Node only (files of checkpoints, of data). Written out, bundlers other than Vite refuse to make a page of
 * them; computed and marked, all let them be.
 */
function nodeImportsHidden(): NonNullable<Options['plugins']>[number] {
  const marks = '/* webpackIgnore: true */ /* @vite-ignore */';
  return {
    name: 'node-imports-hidden',
    renderChunk: (code) => ({
      code: code
        .replace(/\bimport\(["']node:([\w/]+)["']\)/g, `import(${marks} ["node", "$1"].join(":"))`)
        // A chunk imported for nothing: bundlers warn, since the package says that chunks do nothing by themselves. The line stays for the map.
        .replace(/^import "\.\/chunk-[A-Z0-9]+\.js";$/gm, ''),
    }),
  };
}

/**
 * The gradient functions register themselves when loaded. In a chunk shared by entries bundlers would drop them, since `sideEffects` of
 * package.json can only name the entry; so the other entries import the entry.
 */
function gradientsApart(): Plugin {
  return {
    name: 'gradients-apart',
    setup(build) {
      const extension = build.initialOptions.format === 'cjs' ? 'cjs' : 'js';
      build.onResolve({ filter: /\/gradients\.js$/ }, ({ kind }) => (kind === 'entry-point' ? null : { path: `./gradients.${extension}`, external: true, sideEffects: true }));
    },
  };
}

/** Source maps carry positions and names, the sources are in the repository: half the package's size. */
function noSources(): Plugin {
  return { name: 'no-sources', setup: (build) => void (build.initialOptions.sourcesContent = false) };
}

