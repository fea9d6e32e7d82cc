import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel, KernelCall } from './define-op.js';

/** The same number as in `native/op.h`: an addon built from other sources is not used. */
const ABI = 1;

/** What the addon of native ops (built by `tools/setup-tensorflow.mjs`) exports. */
interface Addon {
  abi: number;
  ops: string[];
  threads: number;
}

/** The part of tfjs-node's backend that native ops need. */
interface TensorflowBackend {
  isUsingGpuDevice?: boolean;
  binding: { TF_ATTR_INT: number };
  executeMultipleOutputs(op: string, attrs: { name: string; type: number; value: number }[], inputs: TensorInfo[], outputs: number): TensorInfo[];
}

let ops: ReadonlySet<string> = new Set();

/**
 * Makes the ops of a loaded addon available to kernels. tfjs-node must have been loaded before the addon.
 * @returns what to tell the user: how many ops on how many threads, or why not.
 */
export function useTensorflowNative(addon: Addon): string {
  if (addon.abi !== ABI) return `native ops not used: built for ABI ${addon.abi}, this is ${ABI}; run the set-up again`;
  ops = new Set(addon.ops);
  return `native ops on ${addon.threads} ${addon.threads === 1 ? 'thread' : 'threads'}`;
}

/** Portable forms from here on. */
export function stopTensorflowNative(): string {
  ops = new Set();
  return 'native ops off';
}

/** How a kernel calls its native op. All native ops take float tensors, int32 tensors and plain numbers, and return float tensors. */
export interface NativeCall<N extends string, A> {
  /** Float32 inputs by name, in the order in which the op reads them; absent ones are left out of the call. */
  floats: readonly N[];
  ints?: readonly N[];
  /** Exact in float32. */
  numbers?: (call: KernelCall<N, A>) => readonly number[];
  /** How many outputs the op makes for this call. */
  outputs: (call: KernelCall<N, A>) => number;
}

/**
 * A kernel for `defineOp({ kernels: { tensorflow } })` that runs the native op `BytelmNative<op>`. It declines, so that the portable form
 * runs, where the addon is not loaded or tensors live on a GPU.
 */
export function tensorflowKernel<N extends string, A>(op: string, { floats, ints = [], numbers, outputs }: NativeCall<N, A>): FastKernel<N, A> {
  const name = `BytelmNative${op}`;
  return (call) => {
    if (!ops.has(name)) return null;
    const backend = call.backend as KernelBackend & TensorflowBackend;
    if (backend.isUsingGpuDevice) return null;
    const { inputs } = call;
    const given = (names: readonly N[]) => names.map((n) => inputs[n]).filter((t): t is TensorInfo => t !== undefined);
    const mask = (names: readonly N[]) => names.reduce((bits, n, i) => bits + (inputs[n] ? 2 ** i : 0), 0);
    const [f, i, count] = [given(floats), given(ints), outputs(call)];
    const plain = tf.tensor1d(Float32Array.of(mask(floats), mask(ints), ...(numbers?.(call) ?? [])));
    const attr = (key: string, value: number) => ({ name: key, type: backend.binding.TF_ATTR_INT, value });
    try {
      return backend.executeMultipleOutputs(name, [attr('NF', f.length), attr('NI', i.length), attr('NO', count)], [...f, ...i, plain], count);
    } finally {
      plain.dispose();
    }
  };
}
