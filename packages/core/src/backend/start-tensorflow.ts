import * as tf from '@tensorflow/tfjs-core';
import { environmentVariable, firstLine, isNode, nodeRequire } from './environment.js';
import { type StartedBackend, StartFailure } from './info.js';
import { stopTensorflowNative, useTensorflowNative } from '../op/tensorflow-native.js';
import { runningBackend } from './register.js';

const HINT =
  'npm install @tensorflow/tfjs-node (or @tensorflow/tfjs-node-gpu) and let its install script run: pnpm lists it under `onlyBuiltDependencies`';

/** TensorFlow's C library through tfjs-node-gpu, else tfjs-node: Node only. */
export async function startTensorflow(): Promise<StartedBackend> {
  if (!isNode()) throw new StartFailure('only in Node', "use 'webgpu' or 'wasm' in a browser");
  if (!runningBackend('tensorflow')) load();
  const backend = runningBackend('tensorflow') as unknown as { isUsingGpuDevice?: boolean; binding?: { TF_Version?: string } };
  const onGpu = Boolean(backend?.isUsingGpuDevice);
  const native = onGpu ? 'no native ops on CUDA' : loadNative();
  return {
    device: `TensorFlow ${backend?.binding?.TF_Version ?? ''} on ${onGpu ? 'CUDA' : 'CPU'}, ${native}`.replace('  ', ' '),
    features: [...(onGpu ? ['cuda'] : []), ...(native.startsWith('native ops on') ? ['native-ops'] : [])],
  };
}

/**
 * Loads our own ops if they have been built: the file that BYTELM_TF_OPS names (`off`: none), else what `tools/setup-tensorflow.mjs` has put
 * beside the binding of tfjs-node. Everything works without them, at a third of the speed in training.
 */
function loadNative(): string {
  const require = nodeRequire();
  const given = environmentVariable('BYTELM_TF_OPS');
  if (given === 'off') return stopTensorflowNative();
  let path = given;
  try {
    path ??= `${require.resolve('@tensorflow/tfjs-node/package.json').replace(/package\.json$/, '')}lib/napi-v8/bytelm_ops.node`;
    if (!given && !(require('node:fs') as typeof import('node:fs')).existsSync(path)) return 'native ops not built';
    return useTensorflowNative(require(path));
  } catch (e) {
    const why = firstLine(e);
    if (given) throw new StartFailure(`BYTELM_TF_OPS=${given}: ${why}`, 'unset it, or run `node tools/setup-tensorflow.mjs`', { cause: e });
    return `native ops not loaded (${why.slice(0, 120)})`;
  }
}

const registered = (): string[] => tf.getKernelsForBackend('tensorflow').map((k) => k.kernelName);

function load(): void {
  const require = nodeRequire();
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  restoreUtilFunctions(require('node:util') as Record<string, unknown>);
  const tried: string[] = [];
  for (const name of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    try {
      require.resolve(name);
    } catch {
      tried.push(`${name} is not installed`);
      continue;
    }
    // Its loader parses the arguments of the whole program, and takes `--dir` or `--build-from-source` of a tool for its own.
    const { argv } = process;
    const before = new Set(registered());
    process.argv = argv.slice(0, 2);
    try {
      require(name);
      return;
    } catch (e) {
      tried.push(`${name}: ${firstLine(e).slice(0, 200)}`);
      // It registers its kernels before it looks for the library: left in place, each would be a warning when the next package registers its own.
      for (const name of registered()) if (!before.has(name)) tf.unregisterKernel(name, 'tensorflow');
    } finally {
      process.argv = argv;
    }
  }
  throw new StartFailure(tried.join('; '), HINT);
}

/** tfjs-node 4.22 calls functions that Node 23 removed; the fix for it was merged but never released. */
function restoreUtilFunctions(util: Record<string, unknown>): void {
  util.isNullOrUndefined ??= (v: unknown) => v === null || v === undefined;
  util.isArray ??= Array.isArray;
}
