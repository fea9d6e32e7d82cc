import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setupBrowser } from '../../../tools/setup-browser.mjs';
import { openPage, type OpenPage } from './open-page.js';

/** Why it cannot be tried here; in CI that is a failure, below. */
const missing = await setupBrowser().then(() => '', (e: Error) => e.message);
if (missing) console.warn(`no WebGPU in a browser: the playground is not tried on it: ${missing}`);
/** Each byte takes a hundred times as long as on a GPU: one model is enough, unless all is asked for. */
const models = process.env.BYTELM_BROWSER === 'all' ? ['hnet', 'blt', 'bolmo'] : ['hnet'];
const SLOW = { timeout: 300_000, interval: 500 };

describe.skipIf(missing && process.env.CI !== 'true')('the playground in Chromium, on WebGPU', () => {
  let opened: OpenPage;
  beforeAll(async () => {
    opened = await openPage('?backend=webgpu');
  }, 300_000);
  afterAll(() => opened?.close());
  const textOf = (selector: string) => opened.page.locator(selector).innerText();

  it('names the device', async () => {
    expect(await textOf('#status')).toMatch(/^Running with WebGPU on \S/);
  });

  it('cuts a text by every model and rule', async () => {
    const rows = opened.page.locator('#cut-rows section');
    const options = await opened.page.evaluate(async () => ((await (await fetch('shipped.json')).json()) as string[]).filter((f) => /^models\/\w+\/config.json/.test(f)).length);
    await expect.poll(() => rows.count(), SLOW).toBe(options + 4);
    for (const row of await rows.all()) {
      expect(await row.locator('.chunk').count()).toBeGreaterThan(5);
      expect(await row.locator('.reading').innerText()).toContain('times');
    }
  });

  it.each(models)('generates 64 bytes with %s', async (model) => {
    const { page } = opened;
    await page.click('#tab-generate');
    if (!(await page.locator(`#model option[value=${model}]`).count())) return;
    await page.selectOption('#model', model);
    await page.fill('#max-bytes', '64');
    await page.click('#generate');
    await expect.poll(() => textOf('#generate'), SLOW).toBe('Generate');
    expect(await textOf('#rate')).toMatch(/^64 bytes, [1-9]\d* chunks, [\d.]+ bytes per second/);
    expect(await page.locator('#generated .chunk:not(.given)').count()).toBeGreaterThan(5);
    expect(await page.locator('#generated [role=alert]').count()).toBe(0);
  });

  it('had nothing to say on the console', () => expect(opened.problems).toEqual([]));
});
