import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { withWebgpu } from './tools/lib/webgpu-environment.mjs';

const at = (p: string) => fileURLToPath(new URL(p, import.meta.url));
const packages = readdirSync(at('./packages'));
/** Tests run from the sources: no build is needed, and a stack trace names the line one wrote. */
const alias = [
  { find: /^@bytelm\/core\/gradients$/, replacement: at('./packages/core/src/gradients.ts') },
  ...packages.flatMap((p) => [
    { find: new RegExp(`^@bytelm/${p}$`), replacement: at(`./packages/${p}/src/index.ts`) },
    { find: new RegExp(`^@bytelm/${p}/([a-z-]+)$`), replacement: at(`./packages/${p}/src/$1/index.ts`) },
  ]),
  ...readdirSync(at('./examples'))
    .filter((e) => e !== 'data')
    .flatMap((e) => [
      { find: new RegExp(`^@bytelm/example-${e}$`), replacement: at(`./examples/${e}/src/index.ts`) },
      { find: new RegExp(`^@bytelm/example-${e}/([a-z-]+)$`), replacement: at(`./examples/${e}/src/$1/index.ts`) },
    ]),
];
// The driver of the webgpu project (tools/setup-vulkan.mjs): test processes inherit it, and it must be there when they start.
Object.assign(process.env, withWebgpu());
const exclude = ['**/node_modules/**', '**/dist/**'];
const backend = (name: string, backends: string, maxWorkers: number, setupFiles: string[] = []) => ({
  resolve: { alias },
  test: { name, setupFiles, include: ['backend', name].map((kind) => `{packages,examples}/*/{src,test}/**/*.${kind}.test.ts`), exclude, pool: 'forks' as const, maxWorkers, env: { BYTELM_TEST_BACKENDS: backends }, testTimeout: 400_000, hookTimeout: 400_000 },
});

// `x.backend.test.ts` runs once per backend, `x.webgpu.test.ts` (or another project's name) on that one, `x.test.ts` once.
export default defineConfig({
  resolve: { alias },
  test: {
    projects: [
      { resolve: { alias }, test: { name: 'unit', include: ['{packages,examples,benchmarks}/**/*.test.ts', 'tools/**/*.test.{ts,mjs}'], exclude: [...exclude, '**/*.{backend,embedded,tensorflow,webgpu}.test.ts'], pool: 'forks', maxWorkers: 2, testTimeout: 400_000, hookTimeout: 400_000 } },
      backend('embedded', 'cpu,wasm', 2),
      backend('tensorflow', 'tensorflow', 2),
      backend('webgpu', 'webgpu', 1, [at('./tools/vitest-device-errors.ts')]),
    ],
  },
});
