// Finds or fetches a headless Chromium (tools/lib/chromium.mjs) and makes sure that its WebGPU has an adapter.
// Usage: node tools/setup-browser.mjs     Exit status 1 with one line why when there is none.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium as browserType } from 'playwright';
import { chromium, CHROMIUM_FLAGS } from './lib/chromium.mjs';
import { Unavailable } from './lib/run.mjs';

/** Returns `{ executablePath, adapter }`; throws `Unavailable`. */
export async function setupBrowser({ log = (line) => console.error(`[setup-browser] ${line}`) } = {}) {
  const { executablePath, env } = await chromium(log);
  const browser = await browserType.launch({ executablePath, args: CHROMIUM_FLAGS, env: { ...process.env, ...env } }).catch((e) => {
    throw new Unavailable(`${executablePath} does not start: ${e.message.split('\n')[0]}`);
  });
  try {
    const page = await browser.newPage();
    // Only pages of a secure origin have navigator.gpu.
    await page.route('**', (route) => route.fulfill({ contentType: 'text/html', body: '' }));
    await page.goto('http://localhost/');
    const adapter = await page.evaluate(async () => {
      const info = (await navigator.gpu?.requestAdapter())?.info;
      return info && [info.description || info.device || info.vendor, info.architecture].join(' ');
    });
    if (!adapter) throw new Unavailable(`${executablePath} has no WebGPU adapter`);
    return { executablePath, adapter };
  } finally {
    await browser.close();
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const { executablePath, adapter } = await setupBrowser();
    console.log(`[setup-browser] ${executablePath}: ${adapter}`);
  } catch (e) {
    if (!(e instanceof Unavailable)) throw e;
    console.error(`[setup-browser] not available: ${e.message}`);
    process.exitCode = 1;
  }
}
