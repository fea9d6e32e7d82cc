// A headless Chromium: CHROME_BIN, the system's, else the one in npm's @sparticuz/chromium.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { npmChromium, unpackBrotli } from './npm-chromium.mjs';
import { has, run, Unavailable } from './run.mjs';

/** WebGPU in headless Chromium needs the first flag and then runs on its own SwiftShader. */
export const CHROMIUM_FLAGS = ['--enable-unsafe-webgpu', '--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];

/** @returns {Promise<{ executablePath: string, env: Record<string, string> }>} @throws Unavailable */
export async function chromium(log) {
  if (process.env.CHROME_BIN) return { executablePath: process.env.CHROME_BIN, env: {} };
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    if (has(name)) return { executablePath: run('sh', ['-c', `command -v ${name}`]).trim(), env: {} };
  }
  const bin = npmChromium(log);
  const executablePath = await unpackBrotli(bin, 'chromium');
  // The system libraries it needs beyond a bare Debian come with it.
  const libraries = join(await unpackBrotli(bin, 'al2023'), 'lib');
  for (const env of [{}, { LD_LIBRARY_PATH: libraries }]) {
    if (has(executablePath, ['--headless', '--no-sandbox', '--version'], { ...process.env, ...env })) return { executablePath, env };
  }
  throw new Unavailable(`Chromium from npm does not start${existsSync(libraries) ? '' : ' (its libraries are missing)'}; set CHROME_BIN to a browser`);
}
