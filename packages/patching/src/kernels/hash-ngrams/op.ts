import * as tf from '@tensorflow/tfjs-core';
import { BackendError, cpuKernel, defineOp, type OpInputs } from '@bytelm/core';
import { hashShape, type HashNgramAttrs } from './attrs.js';
import { hashNgramsOnHost } from './limbs.js';
import { hashNgramsNaive } from './naive.js';
import { wasmHashNgrams } from './wasm.js';
import { webgpuHashNgrams } from './webgpu.js';

type Hash = typeof hashNgramsOnHost;

/** On the host: tfjs' own int32 arithmetic is neither 64 bits wide nor exact. */
const onHost =
  (hash: Hash) =>
  ({ ids }: OpInputs<'ids'>, attrs: HashNgramAttrs): tf.Tensor[] => {
    let values: Int32Array;
    try {
      values = ids!.dataSync() as Int32Array;
    } catch (cause) {
      throw new BackendError('[hashNgramIds] the portable form needs the ids on the host, and this backend cannot read synchronously. Hint: hashNgramIdsOnHost, or kernel policy auto.', { cause });
    }
    return [tf.tensor(hash(values, ids!.shape, attrs), hashShape(ids!.shape, attrs), 'int32')];
  };

/** ids (B, L) int32 -> buckets (T, B, L − history) int32. No gradient. */
export const hashNgramsOp = defineOp<'ids', HashNgramAttrs>({
  name: 'HashNgrams',
  inputs: ['ids'],
  portable: onHost(hashNgramsOnHost),
  naive: onHost(hashNgramsNaive),
  kernels: {
    cpu: cpuKernel(({ ids }, attrs) => [{ shape: hashShape(ids!.shape, attrs), values: hashNgramsOnHost(ids!.values as Int32Array, ids!.shape, attrs) }]),
    wasm: wasmHashNgrams,
    webgpu: webgpuHashNgrams,
  },
});
