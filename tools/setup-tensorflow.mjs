// Makes @tensorflow/tfjs-node usable where its own install script did not run (pnpm does not run it, and its download host is often
// out of reach): libtensorflow comes out of the PyPI wheel, the binding is compiled from the npm package's sources. Both are kept in
// the cache and only linked into node_modules, so a fresh install costs nothing.
// Usage: node tools/setup-tensorflow.mjs [--if-cached]      Needs Linux x64, python3 with pip, g++.
//   --if-cached   only links what the cache has, and never fails (after an install)
// Exit status 1 with one line why when it can't be done.
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot, fillFolder } from './lib/cache.mjs';
import { has, run, Unavailable } from './lib/run.mjs';
import { setupTensorflowOps } from './lib/tensorflow-ops.mjs';

/** The smallest wheel that carries libtensorflow; the C API that the binding uses is stable, so any later one works too. */
const TENSORFLOW = '2.16.1';
const NAPI = 8;
const here = fileURLToPath(import.meta.url);
const require = createRequire(here);

/** Makes sure that tfjs-node loads, and builds our native ops for it. Returns what was done; throws `Unavailable`. */
export function setupTensorflow({ ifCached = false, log = (line) => console.log(`[setup-tensorflow] ${line}`) } = {}) {
  const done = setupBinding({ ifCached, log });
  const folder = tfjsFolder();
  const hasBinding = folder && existsSync(join(folder, 'lib', `napi-v${NAPI}`, 'tfjs_binding.node'));
  return hasBinding ? `${done}; ${setupTensorflowOps(folder, { ifCached, log })}` : done;
}

/** Where tfjs-node is installed, or null. */
function tfjsFolder() {
  try {
    return dirname(realpathSync(require.resolve('@tensorflow/tfjs-node/package.json')));
  } catch {
    return null;
  }
}

function setupBinding({ ifCached, log }) {
  if (!ifCached && loads('@tensorflow/tfjs-node-gpu')) return 'tfjs-node-gpu is installed and loads';
  const folder = tfjsFolder();
  if (!folder) throw new Unavailable('@tensorflow/tfjs-node is not installed (run the workspace install first)');
  const version = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
  const library = join(cacheRoot(), `tensorflow-${TENSORFLOW}-${process.platform}-${process.arch}`);
  const binding = join(library, `tfjs_binding-${version}-napi${NAPI}.node`);
  const installed = join(folder, 'lib', `napi-v${NAPI}`, 'tfjs_binding.node');
  if (isOurs(installed, binding, folder)) return 'ready';
  if (ifCached && !existsSync(binding)) return 'not set up; `pnpm setup` does it';
  if (existsSync(installed) && loads('@tensorflow/tfjs-node')) return 'tfjs-node loads as installed';

  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Unavailable(`no recipe for ${process.platform} ${process.arch}; allow the install script of @tensorflow/tfjs-node instead`);
  }
  if (!existsSync(join(library, 'lib'))) fetchLibrary(library, log);
  if (!existsSync(binding)) compile(folder, library, binding, log);
  link(join(library, 'lib'), join(folder, 'deps', 'lib'));
  link(join(library, 'include'), join(folder, 'deps', 'include'));
  mkdirSync(dirname(installed), { recursive: true });
  copyFileSync(binding, `${installed}.${process.pid}`);
  renameSync(`${installed}.${process.pid}`, installed);
  const problem = tryMatMul();
  if (problem) throw new Unavailable(`the binding was built but does not work: ${problem}`);
  return `tfjs-node ${version} on libtensorflow ${TENSORFLOW}`;
}

/** True without starting a process when the files in node_modules are the ones this script put there. */
function isOurs(installed, binding, folder) {
  try {
    return statSync(installed).size === statSync(binding).size && realpathSync(join(folder, 'deps', 'lib')) === realpathSync(join(dirname(binding), 'lib'));
  } catch {
    return false;
  }
}

function fetchLibrary(target, log) {
  if (!has('python3')) throw new Unavailable('python3 is missing (it fetches libtensorflow from PyPI)');
  if (!has('python3', ['-m', 'pip', '--version'])) throw new Unavailable('pip is missing (`apt-get install python3-pip`)');
  log(`fetching libtensorflow ${TENSORFLOW} from PyPI (205 MB, once)`);
  fillFolder(target, (folder) => {
    const download = join(folder, 'download');
    run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--python-version', '3.11', '--platform', 'manylinux2014_x86_64', '--dest', download, `tensorflow-cpu==${TENSORFLOW}`]);
    run('python3', ['-c', UNPACK, download, folder]);
    rmSync(download, { recursive: true });
  });
}

/** Takes the two libraries and the headers that the binding includes out of the wheel (a zip file): 600 MB of 1.2 GB. */
const UNPACK = `
import glob, os, shutil, sys, zipfile
download, out = sys.argv[1:]
with zipfile.ZipFile(glob.glob(download + '/*.whl')[0]) as z:
    for n in z.namelist():
        if n.startswith('tensorflow/libtensorflow') and n.endswith('.so.2'):
            to = os.path.join(out, 'lib', os.path.basename(n))
        elif n.startswith(('tensorflow/include/tensorflow/c/', 'tensorflow/include/tensorflow/core/platform/', 'tensorflow/include/tsl/')) and n.endswith('.h'):
            to = os.path.join(out, n[len('tensorflow/'):])
        else:
            continue
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with z.open(n) as a, open(to, 'wb') as b:
            shutil.copyfileobj(a, b, 1 << 20)
`;

function compile(folder, library, binding, log) {
  if (!has('g++')) throw new Unavailable('g++ is missing (it compiles the binding of tfjs-node; `apt-get install g++`)');
  log('compiling the binding of tfjs-node');
  const part = `${binding}.part-${process.pid}`;
  const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((f) => join(folder, 'binding', f));
  const includes = [folder, join(library, 'include'), require('node-api-headers').include_dir].map((d) => `-I${d}`);
  const lib = join(library, 'lib');
  run('g++', [
    '-O2', '-std=c++17', '-fPIC', '-shared', `-DNAPI_VERSION=${NAPI}`, ...includes, ...sources, '-o', part,
    `-L${lib}`, '-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2', '-Wl,-rpath,$ORIGIN/../../deps/lib',
  ]);
  renameSync(part, binding);
}

function link(target, path) {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { recursive: true, force: true });
  symlinkSync(target, path, 'dir');
}

function loads(name) {
  try {
    require.resolve(name);
  } catch {
    return false;
  }
  return spawnSync(process.execPath, ['-e', `require(${JSON.stringify(name)})`], { cwd: dirname(here), stdio: 'ignore' }).status === 0;
}

function tryMatMul() {
  const program = `const tf = require('@tensorflow/tfjs-node'); const y = tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).dataSync();
    if (tf.getBackend() !== 'tensorflow' || y.join() !== '3,3,3,3') throw new Error('wrong result ' + y);`;
  const r = spawnSync(process.execPath, ['-e', program], { cwd: dirname(here), encoding: 'utf8', env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' } });
  return r.status === 0 ? null : (r.stderr.split('\n').find((l) => /Error/.test(l)) ?? `status ${r.status ?? r.signal}`);
}

if (process.argv[1] && resolve(process.argv[1]) === here) {
  const ifCached = process.argv.includes('--if-cached');
  try {
    console.log(`[setup-tensorflow] ${setupTensorflow({ ifCached })}`);
  } catch (e) {
    if (!(e instanceof Unavailable)) throw e;
    console.error(`[setup-tensorflow] not available: ${e.message}`);
    process.exitCode = ifCached ? 0 : 1;
  }
}
