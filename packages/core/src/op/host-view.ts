import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { cpuValues } from '../kernels/host.js';
import { getKernelPolicy } from './define-op.js';
import { wasmHeap } from './wasm-kernel.js';

/**
 * While decoding one byte a tensor holds a few hundred floats, and a tfjs op on it costs ten times what a loop does. Where tensors live on
 * the host (wasm, cpu), small steps work on their memory instead. Every function here gives `undefined` on other backends and under
 * `setKernelPolicy('portable')`: callers then take the way through ops.
 */
function hostBackend(): KernelBackend | undefined {
  const name = tf.getBackend();
  return (name === 'wasm' || name === 'cpu') && getKernelPolicy() === 'auto' ? (tf.backend() as KernelBackend) : undefined;
}

/** A float32 tensor's own memory. On wasm it is good until the next tensor is made. Do not write to it: others may share it. */
export function hostValues(t: tf.Tensor): Float32Array | undefined {
  const backend = hostBackend();
  return backend && view(backend, t);
}

/** The same for a tensor of a decoding state, which may be changed in place; not where a clone shares it. */
export function hostState(t: tf.Tensor): Float32Array | undefined {
  const backend = hostBackend();
  return backend && backend.refCount(t.dataId) === 1 ? view(backend, t) : undefined;
}

/** A new float32 tensor. `fill` gets its memory, contents undefined, and may take `hostValues` of others. */
export function hostTensor<T extends tf.Tensor>(shape: readonly number[], fill: (values: Float32Array) => void): T | undefined {
  const backend = hostBackend();
  if (!backend) return undefined;
  const heap = tf.getBackend() === 'wasm' ? wasmHeap(backend) : null;
  const size = shape.reduce((a, b) => a * b, 1);
  const t = heap ? (tf.engine().makeTensorFromTensorInfo(heap.output(shape)) as T) : (tf.tensor(new Float32Array(size), [...shape]) as T);
  const values = view(backend, t);
  if (values) fill(values);
  else t.dispose();
  return values && t;
}

function view(backend: KernelBackend, t: TensorInfo): Float32Array | undefined {
  if (t.dtype !== 'float32') return undefined;
  if (tf.getBackend() === 'cpu') return cpuValues(backend, t) as Float32Array;
  const heap = wasmHeap(backend);
  const size = t.shape.reduce((a, b) => a * b, 1);
  return heap ? heap.f32(heap.offset(t), size) : undefined;
}
