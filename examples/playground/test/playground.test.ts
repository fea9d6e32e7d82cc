import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { existsSync } from 'node:fs';
import { openPage, type OpenPage } from './open-page.js';

const MINUTES = Number(process.env.BYTELM_PLAYGROUND_MINUTES ?? 0.25);
let opened: OpenPage;
const page = () => opened.page;

beforeAll(async () => {
  opened = await openPage('?backend=wasm');
}, 300_000);
afterAll(() => opened?.close());

const models = ['hnet', 'blt', 'bolmo'].filter((m) => existsSync(new URL(`../../${m}/models/tiny/model.safetensors`, import.meta.url)));
const textOf = (selector: string) => page().locator(selector).innerText();

/** How many colours a screenshot of an element has: an empty one has few. */
async function colours(selector: string): Promise<number> {
  const png = await page().locator(selector).screenshot();
  return page().evaluate(async (data) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d')!;
    context.drawImage(bitmap, 0, 0);
    return new Set(new Uint32Array(context.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer)).size;
  }, png.toString('base64'));
}

/** Tensors, and WebAssembly's memory, which never shrinks. tfjs keeps its engine in a global variable. */
function heldByWorker(): Promise<{ tensors: number; wasmBytes: number }> {
  return page()
    .workers()[0]!
    .evaluate(() => {
      const engine = (globalThis as unknown as { _tfengine: { memory(): { numTensors: number }; backend: { wasm: { HEAPU8: Uint8Array } } } })._tfengine;
      return { tensors: engine.memory().numTensors, wasmBytes: engine.backend.wasm.HEAPU8.buffer.byteLength };
    });
}

describe('the playground in Chromium, on WebAssembly', () => {
  it('says what it runs on', async () => {
    expect(await textOf('#status')).toMatch(/WebAssembly on the CPU/);
  });

  it('cuts a text by every model and rule, and again when it changes', async () => {
    const rows = page().locator('#cut-rows section');
    await expect.poll(() => rows.count(), { timeout: 120_000 }).toBe(models.length + 4);
    expect(await colours('#cut-rows')).toBeGreaterThan(50);
    const first = rows.first();
    const said = await first.locator('.soft').innerText();
    await page().fill('#cut-text', 'Byte by byte, 一个字节. Half a sentence more makes it longer.');
    await expect.poll(() => first.locator('.soft').innerText(), { timeout: 60_000 }).not.toBe(said);
    // A cell a byte, the begin symbol included, and a curve of entropies under BLT's.
    await expect.poll(() => first.locator('.byte').count()).toBe(1 + new TextEncoder().encode(await page().inputValue('#cut-text')).length);
    await expect.poll(() => page().locator('#cut-rows section[data-by^="BLT"] .curve b').count(), { timeout: 60_000 }).toBeGreaterThan(20);
    const spaces = page().locator('#cut-rows section[data-by="Spaces"] .chunk');
    await expect.poll(() => spaces.count(), { timeout: 60_000 }).toBeGreaterThan(8);
  });

  it('is used by keyboard', async () => {
    await page().focus('#tab-chunks');
    await page().keyboard.press('ArrowRight');
    expect(await page().getAttribute('#tab-generate', 'aria-selected')).toBe('true');
    expect(await page().isVisible('#panel-generate')).toBe(true);
    expect(await page().isVisible('#panel-chunks')).toBe(false);
    await page().keyboard.press('End');
    expect(await page().isVisible('#panel-kernels')).toBe(true);
    await page().keyboard.press('Home');
    expect(await page().isVisible('#panel-chunks')).toBe(true);
  });

  it.each(models)('generates with %s, chunk by chunk, the same text for the same seed', async (model) => {
    await page().click('#tab-generate');
    await page().selectOption('#model', model);
    await page().fill('#max-bytes', '40');
    const generate = async () => {
      await page().click('#generate');
      await expect.poll(() => textOf('#generate'), { timeout: 60_000 }).toBe('Generate');
      return textOf('#generated');
    };
    const text = await generate();
    expect(text.length).toBeGreaterThan('The old man looked at the sea and'.length + 20);
    expect(await textOf('#rate')).toMatch(/^40 bytes, [1-9]\d* chunks, [\d.]+ bytes per second/);
    expect(await page().locator('#generated .chunk:not(.given)').count()).toBeGreaterThan(3);
    expect(await generate()).toBe(text);
  });

  it('stops when asked', async () => {
    await page().fill('#max-bytes', '2000');
    await page().click('#generate');
    await expect.poll(() => textOf('#rate'), { timeout: 60_000 }).toMatch(/^\d+ bytes/);
    await page().click('#generate');
    await expect.poll(() => textOf('#generate'), { timeout: 20_000 }).toBe('Generate');
    expect(Number((await textOf('#rate')).match(/^(\d+) bytes/)![1])).toBeLessThan(2000);
  });

  it('trains a model whose loss falls, showing its boundaries', async () => {
    await page().click('#tab-train');
    await page().fill('#steps', '20');
    await page().click('#train');
    await expect.poll(() => textOf('#train-rate'), { timeout: 120_000 }).toMatch(/step 20 of 20/);
    const loss = Number((await textOf('#loss h2')).match(/: ([\d.]+)/)![1]);
    expect(loss).toBeLessThan(6.5);
    expect(await page().locator('#probe-row .chunk').count()).toBeGreaterThan(1);
    expect(await colours('#panel-train')).toBeGreaterThan(20);
  });

  it('says in words what is wrong with a text that is too short', async () => {
    await page().fill('#train-text', 'too short');
    await page().click('#train');
    await expect.poll(() => textOf('#probe-row [role=alert]'), { timeout: 20_000 }).toMatch(/the text has 9 bytes, at least 512 are needed/);
  });

  it('measures kernels on the device', async () => {
    await page().click('#tab-kernels');
    await page().click('#measure');
    await expect.poll(() => page().locator('#kernels tbody tr').count(), { timeout: 300_000 }).toBe(9);
    await expect.poll(() => textOf('#measure'), { timeout: 30_000 }).toBe('Measure');
    for (const cell of await page().locator('#kernels tbody td:nth-child(3)').allInnerTexts()) expect(Number(cell)).toBeGreaterThan(0);
  });

  it('fits a narrow screen', async () => {
    await page().setViewportSize({ width: 360, height: 740 });
    for (const tab of ['chunks', 'generate', 'train', 'kernels']) {
      await page().click(`#tab-${tab}`);
      expect(await page().evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    }
    await page().setViewportSize({ width: 1100, height: 900 });
  });

  it(`keeps its memory over ${MINUTES} minutes of use`, async () => {
    const session = await opened.context.newCDPSession(page());
    const used = async () => {
      await session.send('HeapProfiler.collectGarbage');
      return (await session.send('Runtime.getHeapUsage')).usedSize;
    };
    await page().click('#tab-chunks');
    const use = async (n: number) => {
      await page().fill('#cut-text', `A sentence with number ${n} in it.`);
      // The last row comes when all others are there; blanks are shown as other signs.
      const shown = async () => (await page().locator('#cut-rows section').last().locator('.reading').innerText()).replace(/\W/g, '');
      await expect.poll(shown, { timeout: 60_000 }).toContain(`number${n}in`);
    };
    await use(0);
    const before = await used();
    const heldBefore = await heldByWorker();
    const end = Date.now() + MINUTES * 60_000;
    for (let n = 1; Date.now() < end; n++) await use(n);
    expect(await heldByWorker()).toEqual(heldBefore);
    expect((await used()) / before).toBeLessThan(1.5);
  }, (MINUTES + 3) * 60_000);

  it('works without a network once it was loaded', async () => {
    await page().waitForFunction(() => navigator.serviceWorker.ready.then((r) => Boolean(r.active)), undefined, { timeout: 60_000 });
    await opened.context.setOffline(true);
    try {
      await page().reload();
      await page().waitForSelector('body[data-ready]', { timeout: 60_000 });
      await expect.poll(() => page().locator('#cut-rows section').count(), { timeout: 120_000 }).toBe(models.length + 4);
    } finally {
      await opened.context.setOffline(false);
    }
  });

  it('had nothing to say on the console', () => expect(opened.problems).toEqual([]));
});
