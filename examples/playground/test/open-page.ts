import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium as browserType, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { build, preview, type PreviewServer } from 'vite';
import { chromium, CHROMIUM_FLAGS } from '../../../tools/lib/chromium.mjs';
import { viteConfig } from '../build/vite-config.js';

export interface OpenPage {
  page: Page;
  context: BrowserContext;
  address: string;
  /** What the page said on its console besides plain words, and exceptions. */
  problems: string[];
  close(): Promise<void>;
}

/** Builds the page into a folder of its own, serves it and opens it in a headless Chromium. */
export async function openPage(query = ''): Promise<OpenPage> {
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-playground-'));
  let server: PreviewServer | undefined;
  let browser: Browser | undefined;
  const close = async () => {
    await browser?.close();
    if (server) await new Promise<void>((closed) => server!.httpServer.close(() => closed()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const config = viteConfig(folder);
    await build(config);
    server = await preview({ ...config, preview: { port: 0, host: '127.0.0.1' } });
    const { executablePath, env } = await chromium();
    browser = await browserType.launch({ executablePath, args: CHROMIUM_FLAGS, env: { ...(process.env as Record<string, string>), ...env }, headless: true });
    const context = await browser.newContext({ viewport: { width: 1100, height: 900 } });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('console', (m) => void (['error', 'warning'].includes(m.type()) && problems.push(`${m.type()}: ${m.text()}`)));
    page.on('pageerror', (e) => void problems.push(String(e)));
    const { port } = server.httpServer.address() as { port: number };
    const address = `http://127.0.0.1:${port}/${query}`;
    await page.goto(address);
    await page.waitForSelector('body[data-ready]', { timeout: 60_000 });
    return { page, context, address, problems, close };
  } catch (e) {
    await close();
    throw e;
  }
}
