import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { sourceAliases } from './tools/lib/source-aliases.mjs';
import { withWebgpu } from './tools/lib/webgpu-environment.mjs';

const at = (p: string) => fileURLToPath(new URL(p, import.meta.url));
/** Tests run from the sources: no build is needed. */
const alias = sourceAliases();
// The driver of the webgpu project (tools/setup-vulkan.mjs): test processes inherit it, and it must be there when they start.
// A shader runs once or twice in a test: what the software driver spends on optimizing it is more than what that saves (half the time of a suite).
Object.assign(process.env, { GALLIVM_PERF: 'nopt' }, withWebgpu());
const exclude = ['**/node_modules/**', '**/dist/**'];
const backend = (name: string, backends: string, maxWorkers: number, setupFiles: string[] = []) => ({
  resolve: { alias },
  test: { name, setupFiles, include: ['backend', name].flatMap((kind) => [`{packages,examples}/*/{src,test}/**/*.${kind}.test.ts`, `benchmarks/src/**/*.${kind}.test.ts`]), exclude, pool: 'forks' as const, maxWorkers, env: { BYTELM_TEST_BACKENDS: backends }, testTimeout: 400_000, hookTimeout: 400_000 },
});

// `x.backend.test.ts` runs once per backend, `x.webgpu.test.ts` (or another project's name) on that one, `x.test.ts` once. In a browser:
// vitest.browser.config.ts.
export default defineConfig({
  resolve: { alias },
  test: {
    projects: [
      { resolve: { alias }, test: { name: 'unit', include: ['{packages,examples,benchmarks}/**/*.test.ts', 'tools/**/*.test.{ts,mjs}'], exclude: [...exclude, '**/*.{backend,embedded,tensorflow,webgpu,browser}.test.ts'], pool: 'forks', maxWorkers: 2, testTimeout: 400_000, hookTimeout: 400_000 } },
      backend('embedded', 'cpu,wasm', 2),
      backend('tensorflow', 'tensorflow', 2),
      backend('webgpu', 'webgpu', 1, [at('./tools/vitest-device-errors.ts')]),
    ],
  },
});
