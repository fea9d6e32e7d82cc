// npm's @sparticuz/chromium carries a headless Chromium and SwiftShader (a Vulkan driver that runs on the CPU), brotli-packed.
import { createReadStream, createWriteStream, existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { cacheRoot, fillFolder } from './cache.mjs';
import { has, run, Unavailable } from './run.mjs';

const VERSION = '153.0.0';

/** The package's `bin` folder, fetched by npm into the cache once (75 MB). */
export function npmChromium(log) {
  const target = join(cacheRoot(), `npm-chromium-${VERSION}`);
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Unavailable(`@sparticuz/chromium is for Linux x64, this is ${process.platform} ${process.arch}`);
  if (!existsSync(target)) {
    if (!has('tar')) throw new Unavailable('tar is missing');
    log(`fetching @sparticuz/chromium ${VERSION} by npm (75 MB, once)`);
    fillFolder(target, (folder) => {
      run('npm', ['pack', '--silent', '--pack-destination', folder, `@sparticuz/chromium@${VERSION}`], { cwd: folder });
      const file = readdirSync(folder).find((f) => f.endsWith('.tgz'));
      run('tar', ['-xzf', file, '--strip-components=1', 'package/bin'], { cwd: folder });
      rmSync(join(folder, file));
    });
  }
  return join(target, 'bin');
}

/** Unpacks `<name>.br` or `<name>.tar.br` of the `bin` folder beside it, once. Returns the file's or folder's path. */
export async function unpackBrotli(bin, name) {
  const target = join(bin, name);
  if (existsSync(target)) return target;
  const isTar = existsSync(`${target}.tar.br`);
  const part = `${target}.part-${process.pid}`;
  await pipeline(createReadStream(isTar ? `${target}.tar.br` : `${target}.br`), createBrotliDecompress(), createWriteStream(part, { mode: 0o755 }));
  if (isTar) {
    fillFolder(target, (folder) => run('tar', ['-xf', part, '-C', folder]));
    rmSync(part);
  } else renameSync(part, target);
  return target;
}
