import { fileURLToPath } from 'node:url';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { repositoryFiles } from './tools/browser/repository-files.mjs';
import { chromium, CHROMIUM_FLAGS } from './tools/lib/chromium.mjs';
import { sourceAliases } from './tools/lib/source-aliases.mjs';

const root = fileURLToPath(new URL('.', import.meta.url));
const { executablePath, env } = await chromium();

/** What stands in a page for what only Node has. */
const inPage = (module: string, file: string) => ({ find: new RegExp(`^${module}$`), replacement: `${root}tools/browser/${file}.ts` });
const all = process.env.BYTELM_BROWSER === 'all';

/** A page has no environment: what tests read of it. */
const variables = { BYTELM_TEST_BACKENDS: 'webgpu', BYTELM_BROWSER: process.env.BYTELM_BROWSER, BYTELM_FIXTURES: undefined, BYTELM_DEBUG: process.env.BYTELM_DEBUG };

/**
 * Tests in a headless Chromium, on its WebGPU: those of the kernels as they run in Node, and golden cases. Without `BYTELM_BROWSER=all` a
 * part of the golden cases, and no other tests than those of kernels and what runs them. Usage: `npx vitest run --config vitest.browser.config.ts [filter]`.
 */
export default defineConfig({
  root,
  resolve: {
    alias: [
      inPage('node:fs', 'node-fs'),
      inPage('node:fs/promises', 'node-fs-promises'),
      inPage('node:path', 'node-path'),
      inPage('node:url', 'node-url'),
      inPage('@bytelm/example-olmo', 'example-olmo'),
      ...sourceAliases(),
    ],
  },
  define: Object.fromEntries(Object.entries(variables).map(([name, value]) => [`process.env.${name}`, JSON.stringify(value ?? '')])),
  plugins: [repositoryFiles(root)],
  test: {
    name: 'browser',
    include: [`packages/*/src/**/${all ? '' : '{backend,kernels,webgpu}/**/'}*.webgpu.test.ts`, 'tools/browser/*.browser.test.ts'],
    // Tuning keeps files. The many masks of attention take a minute; golden cases have some.
    exclude: ['**/node_modules/**', '**/tuning/*', ...(all ? [] : ['**/agree.*'])],
    setupFiles: ['tools/vitest-device-errors.ts', ...(all ? ['tools/browser/wasm-files.ts'] : [])],
    fileParallelism: false,
    // The largest golden models take minutes on a busy machine; one that is given up goes on, and breaks the next.
    testTimeout: all ? 1_800_000 : 400_000,
    hookTimeout: 400_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath, args: CHROMIUM_FLAGS, env: { ...(process.env as Record<string, string>), ...env } } }),
      instances: [{ browser: 'chromium' }],
    },
  },
});
