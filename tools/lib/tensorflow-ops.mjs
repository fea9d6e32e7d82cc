// Builds the native ops of the `tensorflow` backend (packages/*/native) into one Node addon, and puts it beside the binding of tfjs-node,
// where `initBackend('tensorflow')` finds it. The ops are an option: without a compiler everything runs in its portable form.
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot } from './cache.mjs';
import { has, run } from './run.mjs';

const require = createRequire(import.meta.url);
const packages = fileURLToPath(new URL('../../packages', import.meta.url));
// For this very machine: the cache is keyed by its instruction sets.
const FLAGS = ['-O3', '-march=native', '-std=c++17', '-fPIC', '-fno-math-errno', '-fno-trapping-math', '-Wall', '-Wextra'];

/**
 * @param {string} tfjs folder of @tensorflow/tfjs-node, whose binding works
 * @param {{ifCached?: boolean, log?: (line: string) => void}} [options] ifCached: copies what the cache has and compiles nothing
 * @returns {string} what was done, in words; never throws
 */
export function setupTensorflowOps(tfjs, { ifCached = false, log = () => {} } = {}) {
  try {
    const files = nativeSources();
    const target = join(tfjs, 'lib', 'napi-v8', 'bytelm_ops.node');
    const built = join(cacheRoot(), 'tensorflow-ops', `bytelm_ops-${fingerprint(files)}.node`);
    if (!existsSync(built)) {
      if (ifCached) return 'native ops not built';
      if (!has('g++')) return 'no native ops (g++ is missing)';
      log('compiling the native ops');
      compile(files, join(tfjs, 'deps', 'include'), built);
    }
    if (existsSync(target) && readFileSync(target).equals(readFileSync(built))) return 'native ops ready';
    copyFileSync(built, `${target}.${process.pid}`);
    renameSync(`${target}.${process.pid}`, target);
    return 'native ops built';
  } catch (e) {
    return `no native ops (${e.message})`;
  }
}

function nativeSources() {
  const folders = readdirSync(packages).map((p) => join(packages, p, 'native'));
  return folders.filter((d) => existsSync(d)).flatMap((d) => readdirSync(d).filter((f) => /\.(cc|h)$/.test(f)).sort().map((f) => join(d, f)));
}

function fingerprint(files) {
  const hash = createHash('sha256').update(FLAGS.join(' ')).update(process.arch);
  const cpuFlags = existsSync('/proc/cpuinfo') ? /^(flags|Features)\s*:.*$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[0] : cpus()[0]?.model;
  hash.update(cpuFlags ?? '');
  for (const f of files) hash.update(f.slice(packages.length)).update(readFileSync(f));
  return hash.digest('hex').slice(0, 16);
}

/** Every source on its own, as many at a time as there are processors, then one library. */
function compile(files, tensorflowHeaders, built) {
  mkdirSync(dirname(built), { recursive: true });
  const folder = mkdtempSync(`${built}.part-`);
  try {
    const includes = [join(packages, 'core', 'native'), tensorflowHeaders, require('node-api-headers').include_dir].map((d) => `-I${d}`);
    const sources = files.filter((f) => f.endsWith('.cc'));
    run('xargs', ['-0', '-n', '1', '-P', String(Math.max(1, cpus().length)), 'g++', ...FLAGS, ...includes, '-c'], { cwd: folder, input: sources.join('\0') });
    const objects = readdirSync(folder).filter((f) => f.endsWith('.o'));
    run('g++', ['-shared', '-o', 'ops.node', ...objects, '-pthread', ...(process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : [])], { cwd: folder });
    renameSync(join(folder, 'ops.node'), built);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
