// Opens pages in a browser one after the other and waits until each says on the console how it went.

/**
 * @param {{ launch(options: object): Promise<any> }} type playwright's browser type
 * @param {{ executablePath: string, env: Record<string, string>, args: string[] }} browser
 * @param {string[]} urls
 * @returns {Promise<{ ok: boolean, lines: string[], problem: string }[]>}
 */
export async function openPages(type, { executablePath, env, args }, urls, seconds = 120) {
  const browser = await type.launch({ executablePath, args, env: { ...process.env, ...env }, headless: true });
  try {
    const results = [];
    for (const url of urls) results.push(await openPage(browser, url, seconds));
    return results;
  } finally {
    await browser.close();
  }
}

async function openPage(browser, url, seconds) {
  const page = await browser.newPage();
  const lines = [];
  try {
    const problem = await new Promise((end) => {
      setTimeout(() => end(`no end after ${seconds} s`), seconds * 1000).unref();
      page.on('console', (m) => {
        const text = m.text();
        if (text === '[[done]]') end('');
        else if (text.startsWith('[[failed]]')) end(text.slice(11));
        else lines.push(text);
      });
      page.on('pageerror', (e) => end(String(e)));
      page.goto(url).catch((e) => end(String(e)));
    });
    return { ok: problem === '', lines, problem };
  } finally {
    await page.close();
  }
}
