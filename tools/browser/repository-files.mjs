// Hands the repository's files out to tests that run in a page, for tools/browser/node-fs.ts.
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';

/** Addresses of files begin with it; the rest is the path inside the repository. */
const ADDRESS = '/@repository/';

/**
 * @param {string} root
 * @returns {import('vitest/config').Plugin} A file is its bytes, a folder the list of its entries as JSON; the header `x-kind` says which.
 */
export const repositoryFiles = (root) => ({
  name: 'bytelm-repository-files',
  configureServer(server) {
    server.middlewares.use((request, response, next) => {
      if (!request.url?.startsWith(ADDRESS)) return next();
      const path = join(root, decodeURIComponent(request.url.slice(ADDRESS.length)));
      const found = (path + sep).startsWith(join(root, sep)) && statSync(path, { throwIfNoEntry: false });
      if (!found) {
        response.statusCode = 404;
        return response.end();
      }
      const list = found.isDirectory() && JSON.stringify(readdirSync(path, { withFileTypes: true }).map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() })));
      response.setHeader('x-kind', list ? 'folder' : 'file');
      if (path.endsWith('.wasm')) response.setHeader('content-type', 'application/wasm');
      response.setHeader('content-length', list ? Buffer.byteLength(list) : found.size);
      if (request.method === 'HEAD') return response.end();
      if (list) return response.end(list);
      createReadStream(path).pipe(response);
    });
  },
});
