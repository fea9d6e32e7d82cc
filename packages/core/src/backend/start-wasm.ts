import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { alignTensors } from '../op/wasm-kernel.js';
import { hasRelaxedSimd, requestRelaxedSimd } from '../op/relaxed-simd.js';
import { firstLine, isNode, nodeRequire } from './environment.js';
import { type BackendOptions, type StartedBackend, StartFailure } from './info.js';
import { registerInstance, runningBackend } from './register.js';

/** tfjs' WebAssembly backend, the embedded default: one thread in Node, no files besides npm's. */
export async function startWasm({ wasmPaths }: BackendOptions): Promise<StartedBackend> {
  if (!runningBackend('wasm')) {
    const wasm = await import('@tensorflow/tfjs-backend-wasm').catch((e: unknown) => {
      throw new StartFailure('@tensorflow/tfjs-backend-wasm cannot be loaded', 'npm install @tensorflow/tfjs-backend-wasm', { cause: e });
    });
    // tfjs' own search fails in Node when the package is reached through links or from a bundle.
    const paths = wasmPaths ?? (isNode() ? folderOfWasmFiles() : undefined);
    if (paths) wasm.setWasmPaths(paths);
    const factory = tf.findBackendFactory('wasm')!;
    try {
      await registerInstance('wasm', factory, 2);
    } catch (e) {
      const hint = isNode() ? 'reinstall @tensorflow/tfjs-backend-wasm' : 'serve its .wasm files and give their folder as `wasmPaths`';
      throw new StartFailure(firstLine(e), hint, { cause: e });
    }
  }
  shareIdentity();
  alignTensors(tf.findBackend('wasm') as KernelBackend);
  requestRelaxedSimd();
  const env = tf.env();
  const features = [
    ...((await env.getAsync('WASM_HAS_SIMD_SUPPORT')) ? ['simd'] : []),
    ...((await env.getAsync('WASM_HAS_MULTITHREAD_SUPPORT')) ? ['threads'] : []),
    ...(hasRelaxedSimd() ? ['relaxed-simd'] : []),
  ];
  return { device: `WebAssembly${features.length ? ` (${features.join(', ')})` : ''}`, features, limits: { maxMemoryBytes: 2 ** 32 } };
}

function folderOfWasmFiles(): string {
  return nodeRequire().resolve('@tensorflow/tfjs-backend-wasm').replace(/[^/\\]*$/, '');
}

/**
 * tfjs' Identity on wasm copies its input, and the gradient tape takes an identity of everything it saves. On the other backends it shares
 * the memory; with this it does here, too.
 */
function shareIdentity(): void {
  tf.unregisterKernel('Identity', 'wasm');
  tf.registerKernel({
    kernelName: 'Identity',
    backendName: 'wasm',
    kernelFunc: ({ inputs, backend }) => {
      const { dataId, shape, dtype } = inputs.x as tf.TensorInfo;
      (backend as { incRef(id: object): void }).incRef(dataId);
      return { dataId, shape, dtype };
    },
  });
}
