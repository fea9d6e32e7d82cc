// Makes what the sources import but git does not hold, in each package's src/generated:
//   <op>.wasm.ts      one module per packages/*/as/<op>.ts, compiled by AssemblyScript, as base64; where the source makes use of relaxed
//                     SIMD (fused multiply-add) a second build for engines that have it, after a space
//   tfjs-gradients.js tfjs-core's gradient functions as one file (Node cannot import them from tfjs-core directly)
// Usage: node tools/generate.mjs [package ...]      (nothing to do for sources that did not change)
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { leafProblems } from './leaf-problems.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const only = process.argv.slice(2);
const packages = readdirSync(join(root, 'packages')).filter((p) => !only.length || only.includes(p));

/** The file and everything it imports: what its output depends on. */
function closure(file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, spec] of readFileSync(file, 'utf8').matchAll(/from\s+['"]([^'"]+)['"]/g)) {
    const next = resolve(dirname(file), spec.endsWith('.ts') ? spec : `${spec}.ts`);
    if (existsSync(next)) closure(next, seen);
  }
  return seen;
}
const hash = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest('hex').slice(0, 16);
const writeAtomically = (path, text) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp${process.pid}`, text);
  renameSync(`${path}.tmp${process.pid}`, path);
};
const isCurrent = (path, key) => existsSync(path) && readFileSync(path, 'utf8').slice(0, 400).includes(key);

// Node 20 checks relaxed-SIMD modules only behind this flag.
if (process.versions.v8.startsWith('11.')) setFlagsFromString('--experimental-wasm-relaxed-simd');

let asc;
let failed = false;
for (const name of packages) {
  const as = join(root, 'packages', name, 'as');
  const out = join(root, 'packages', name, 'src', 'generated');
  const entries = existsSync(as) ? readdirSync(as).filter((f) => f.endsWith('.ts') && !f.endsWith('.d.ts')) : [];
  for (const entry of entries) {
    const source = join(as, entry);
    const key = `key ${hash(readFileSync(fileURLToPath(import.meta.url)), ...[...closure(source)].sort().map((f) => readFileSync(f)))}`;
    const target = join(out, entry.replace(/\.ts$/, '.wasm.ts'));
    if (isCurrent(target, key)) continue;
    const usesRelaxed = [...closure(source)].some((f) => readFileSync(f, 'utf8').includes('ASC_FEATURE_RELAXED_SIMD'));
    const builds = [await compile(source), ...(usesRelaxed ? [await compile(source, '--enable', 'relaxed-simd')] : [])];
    if (builds.some((b) => !b)) {
      failed = true;
      continue;
    }
    const sizes = builds.map((b) => b.length).join(' + ');
    const text = builds.map((b) => Buffer.from(b).toString('base64')).join(' ');
    writeAtomically(target, `// Made by tools/generate.mjs from ${relative(root, source)}; ${key}; ${sizes} bytes.\nexport default '${text}';\n`);
    console.log(`[generate] ${relative(root, target)} (${sizes} bytes)`);
  }
  for (const stale of existsSync(out) ? readdirSync(out).filter((f) => f.endsWith('.wasm.ts') && !entries.includes(f.replace('.wasm.ts', '.ts'))) : []) {
    rmSync(join(out, stale));
  }
  if (name === 'core') await gradients(out);
}
process.exitCode = failed ? 1 : 0;

/** The module's bytes, or undefined after a message. */
async function compile(source, ...flags) {
  asc ??= (await import('assemblyscript/asc')).default;
  let binary;
  const { error, stderr } = await asc.main(
    [relative(root, source), '-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--noExportMemory', '--enable', 'simd', ...flags, '-o', 'out.wasm', '--baseDir', root],
    {
      readFile: (f, base) => (existsSync(join(base, f)) ? readFileSync(join(base, f), 'utf8') : null),
      writeFile: (f, data) => { if (f.endsWith('.wasm')) binary = data; },
      listFiles: (dir, base) => (existsSync(join(base, dir)) ? readdirSync(join(base, dir)).filter((f) => f.endsWith('.ts')) : []),
    },
  );
  if (error) {
    console.error(`[generate] ${relative(root, source)}: ${error.message}\n${stderr.toString()}`);
    return undefined;
  }
  const problems = leafProblems(binary);
  if (problems.length === 0) return binary;
  console.error(`[generate] ${relative(root, source)}: a module on tfjs' memory must own nothing, but this one has: ${problems.join(', ')}.`);
  return undefined;
}

async function gradients(out) {
  const require = createRequire(import.meta.url);
  const tfjs = dirname(require.resolve('@tensorflow/tfjs-core/package.json'));
  const key = `key ${hash(readFileSync(join(tfjs, 'package.json')))}`;
  const target = join(out, 'tfjs-gradients.js');
  if (isCurrent(target, key)) return;
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [join(tfjs, 'dist', 'register_all_gradients.js')],
    bundle: true, format: 'esm', write: false, minify: true, platform: 'neutral', mainFields: ['module', 'main'], legalComments: 'none',
    // register_all_gradients is listed as side-effectful only by name; keep its calls.
    ignoreAnnotations: true,
    external: ['node-fetch', 'util', 'string_decoder', 'crypto'],
  });
  writeAtomically(target, `/*! tfjs-core's gradient functions (Copyright Google LLC, Apache-2.0; see THIRD-PARTY-NOTICES.md), bundled by tools/generate.mjs; ${key} */\n${outputFiles[0].text}`);
  writeAtomically(join(out, 'tfjs-gradients.d.ts'), 'export {};\n');
  console.log(`[generate] ${relative(root, target)} (${statSync(target).size} bytes)`);
}
