// What a stranger gets: packs every package, installs the tarballs with plain npm in a project outside of the workspace, and runs the
// first ```ts program of each package's README there as an ES module, as CommonJS and as a Vite bundle in headless Chromium.
// Usage: node tools/consumer-test.mjs [--keep]      Needs built packages. The last line is `N passed, N failed`.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { child } from './lib/child.mjs';
import { chromium, CHROMIUM_FLAGS } from './lib/chromium.mjs';
import { openPages } from './lib/pages.mjs';
import { codeBlocks, programs } from './lib/readme.mjs';
import { run, Unavailable } from './lib/run.mjs';
import { asCommonJs, asModule, asPage } from './lib/snippet-forms.mjs';
import { tail } from './lib/tally.mjs';

const TFJS = '4.22.0';
const BROWSER_TOOLS = ['vite@7.3.8', 'playwright-core@1.65.0'];
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const packages = readdirSync(join(root, 'packages'));
const folder = mkdtempSync(join(tmpdir(), 'bytelm-consumer-'));
let passed = 0;
let failed = 0;
const report = (name, ok, detail = '') => {
  if (ok) passed++;
  else failed++;
  console.log(`${ok ? '✓' : '✗'} ${name}${detail ? `: ${detail}` : ''}`);
  return ok;
};

try {
  if (await install()) {
    const snippets = packages.map((p) => ({ name: p, code: firstProgram(p) })).filter((s) => s.code);
    for (const s of snippets) await inNode(s);
    await typecheck(snippets);
    await inBrowser(snippets);
  }
} finally {
  if (process.argv.includes('--keep')) console.log(`kept: ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;

/** Tarballs by pnpm (it turns `workspace:` ranges into versions), everything else by npm. */
async function install() {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const out = run('npx', ['-y', packageManager, '--recursive', '--filter', './packages/*', 'pack', '--json', '--pack-destination', folder], { cwd: root });
  const packed = JSON.parse(out.slice(out.indexOf('[')));
  report('every package is packed', packed.length === packages.length, `${packed.length} of ${packages.length}`);
  for (const { name, files } of packed) {
    const stray = files.map((f) => f.path).filter((f) => !/^(dist\/|package\.json$|README|CHANGELOG|LICENSE|THIRD-PARTY)/.test(f) || /\.test\./.test(f));
    report(`${name}: the tarball holds what is meant`, stray.length === 0 && files.some((f) => f.path === 'LICENSE'), stray.length ? `also ${stray.slice(0, 5).join(', ')}` : `${files.length} files`);
  }
  const tarballs = packed.map((p) => p.filename);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  const npm = await child('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...tarballs, ...['core', 'backend-cpu', 'backend-wasm', 'backend-webgpu'].map((t) => `@tensorflow/tfjs-${t}@${TFJS}`), ...BROWSER_TOOLS, 'typescript@5.9.3'], { cwd: folder, minutes: 10 });
  if (!npm.ok) console.log(tail(npm.output, 30));
  return report('npm installs the tarballs', npm.ok, `${npm.seconds.toFixed(0)} s`);
}

function firstProgram(name) {
  const readme = join(root, 'packages', name, 'README.md');
  const program = existsSync(readme) && programs(codeBlocks(readFileSync(readme, 'utf8')))[0];
  if (!program) report(`${name}: README.md has a program in a \`\`\`ts block`, false);
  return program?.code;
}

async function inNode({ name, code }) {
  writeFileSync(join(folder, `${name}.mjs`), asModule(code));
  writeFileSync(join(folder, `${name}.cjs`), asCommonJs(code));
  const results = [];
  for (const extension of ['mjs', 'cjs']) {
    const r = await child(process.execPath, [`${name}.${extension}`], { cwd: folder, minutes: 5 });
    if (!r.ok) console.log(tail(r.output, 30));
    report(`${name} in Node as ${extension === 'mjs' ? 'an ES module' : 'CommonJS'}`, r.ok && r.output.trim() !== '', `${r.status}, ${r.output.split('\n').length - 1} lines`);
    results.push(r.output);
  }
}

/** The published types under the strictest resolution. */
async function typecheck(snippets) {
  for (const { name, code } of snippets) writeFileSync(join(folder, `${name}.mts`), code);
  const args = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,dom', '--skipLibCheck', ...snippets.map((s) => `${s.name}.mts`)];
  const tsc = await child(process.execPath, [join(folder, 'node_modules', 'typescript', 'bin', 'tsc'), ...args], { cwd: folder });
  if (!tsc.ok) console.log(tail(tsc.output, 30));
  report('the READMEs compile against the published types (nodenext, strict)', tsc.ok);
  for (const { name } of snippets) rmSync(join(folder, `${name}.mts`));
}

async function inBrowser(snippets) {
  let browser;
  try {
    browser = await chromium((l) => console.log(`  ${l}`));
  } catch (e) {
    if (!(e instanceof Unavailable)) throw e;
    if (process.env.CI === 'true') report('a browser', false, e.message);
    else console.log(`- Vite bundles in Chromium: skipped: ${e.message}`);
    return;
  }
  const pages = [...snippets, { name: 'browser-webgpu', code: readFileSync(join(root, 'tools', 'consumer', 'browser-webgpu.ts'), 'utf8') }];
  mkdirSync(join(folder, 'public'), { recursive: true });
  const wasm = join(folder, 'node_modules', '@tensorflow', 'tfjs-backend-wasm', 'dist');
  for (const f of readdirSync(wasm).filter((f) => f.endsWith('.wasm'))) cpSync(join(wasm, f), join(folder, 'public', f));
  for (const { name, code } of pages) {
    writeFileSync(join(folder, `${name}.ts`), code);
    writeFileSync(join(folder, `${name}-page.js`), asPage(`./${name}.ts`));
    writeFileSync(join(folder, `${name}.html`), `<!doctype html><title>${name}</title><script type="module" src="./${name}-page.js"></script>`);
  }
  const vite = await import(pathToFileURL(join(folder, 'node_modules', 'vite', 'dist', 'node', 'index.js')).href);
  await vite.build({
    root: folder,
    configFile: false,
    logLevel: 'warn',
    build: { target: 'esnext', chunkSizeWarningLimit: 5000, rollupOptions: { input: pages.map((p) => join(folder, `${p.name}.html`)) } },
  });
  const server = await vite.preview({ root: folder, configFile: false, logLevel: 'error', preview: { port: 0, host: '127.0.0.1' } });
  try {
    const { default: playwright } = await import(pathToFileURL(join(folder, 'node_modules', 'playwright-core', 'index.js')).href);
    const opened = await openPages(playwright.chromium, { ...browser, args: CHROMIUM_FLAGS }, pages.map((p) => `http://127.0.0.1:${server.httpServer.address().port}/${p.name}.html`));
    opened.forEach(({ ok, lines, problem }, i) => {
      if (!ok) console.log([...lines, problem].join('\n'));
      report(`${pages[i].name} as a Vite bundle in Chromium`, ok, ok ? `${lines.length} lines` : problem.split('\n')[0]);
    });
  } finally {
    await new Promise((closed) => server.httpServer.close(closed));
  }
}
