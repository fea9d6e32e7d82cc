import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

/** Adds a service worker that keeps every file of the build, so that the page works without a network after the first visit. */
export function offline(): Plugin {
  return {
    name: 'bytelm-offline',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const hash = createHash('sha256');
        const files = Object.values(bundle).map((file) => {
          hash.update(file.fileName).update(file.type === 'chunk' ? file.code : file.source);
          return file.fileName;
        });
        const template = readFileSync(fileURLToPath(new URL('service-worker.js', import.meta.url)), 'utf8');
        const source = template.replace("'VERSION'", JSON.stringify(hash.digest('hex').slice(0, 16))).replace("['FILES']", JSON.stringify(['./', ...files]));
        this.emitFile({ type: 'asset', fileName: 'service-worker.js', source });
      },
    },
  };
}
