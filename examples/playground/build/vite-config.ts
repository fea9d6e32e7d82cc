import { fileURLToPath } from 'node:url';
import { createLogger, type InlineConfig } from 'vite';
import { sourceAliases } from '../../../tools/lib/source-aliases.mjs';
import { offline } from './offline.js';
import { shippedFiles } from './shipped-files.js';

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Code for Node that the page never calls is left out of it, which needs no word each time. */
function quietLogger() {
  const logger = createLogger('warn');
  const warn = logger.warn.bind(logger);
  logger.warn = (message, options) => void (message.includes('externalized for browser compatibility') || warn(message, options));
  return logger;
}

/** The page is static: relative addresses, nothing loaded from elsewhere. */
export const viteConfig = (outDir = at('dist')): InlineConfig => ({
  root: at('.'),
  base: './',
  configFile: false,
  customLogger: quietLogger(),
  // Of the source models a Bolmo needs the configuration only; the rest reads folders.
  resolve: { alias: [{ find: /^@bytelm\/example-olmo$/, replacement: at('../olmo/src/config.ts') }, ...sourceAliases()] },
  plugins: [shippedFiles(), offline()],
  worker: { format: 'es' },
  build: { target: 'esnext', outDir, emptyOutDir: true, chunkSizeWarningLimit: 5000 },
});
