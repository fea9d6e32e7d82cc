import { firstLine, isNode, nodeRequire } from './environment.js';
import { type StartedBackend, StartFailure } from './info.js';
import { runningBackend } from './register.js';

const HINT =
  'npm install @tensorflow/tfjs-node (or @tensorflow/tfjs-node-gpu) and let its install script run: pnpm lists it under `onlyBuiltDependencies`';

/** TensorFlow's C library through tfjs-node-gpu, else tfjs-node: Node only. */
export async function startTensorflow(): Promise<StartedBackend> {
  if (!isNode()) throw new StartFailure('only in Node', "use 'webgpu' or 'wasm' in a browser");
  if (!runningBackend('tensorflow')) load();
  const backend = runningBackend('tensorflow') as unknown as { isUsingGpuDevice?: boolean; binding?: { TF_Version?: string } };
  const onGpu = Boolean(backend?.isUsingGpuDevice);
  return { device: `TensorFlow ${backend?.binding?.TF_Version ?? ''} on ${onGpu ? 'CUDA' : 'CPU'}`.replace('  ', ' '), features: onGpu ? ['cuda'] : [] };
}

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
    process.argv = argv.slice(0, 2);
    try {
      require(name);
      return;
    } catch (e) {
      tried.push(`${name}: ${firstLine(e).slice(0, 200)}`);
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
