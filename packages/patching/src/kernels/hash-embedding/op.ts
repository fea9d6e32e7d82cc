import { cpuKernel, defineOp, type HostArray, type Loops, type Op, type OpInputs } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { tableName, type GradInput, type HashEmbeddingAttrs, type HashEmbeddingGradAttrs } from './attrs.js';
import { hashEmbeddingGradLoops, hashEmbeddingLoops } from './loops.js';
import { hashEmbeddingGradPortable, hashEmbeddingPortable } from './portable.js';
import { tensorflowHashEmbedding, tensorflowHashEmbeddingGrad } from './tensorflow.js';
import { wasmHashEmbedding, wasmHashEmbeddingGrad } from './wasm.js';
import { webgpuHashEmbedding, webgpuHashEmbeddingGrad } from './webgpu.js';

const naiveForm =
  <A>(loops: (inputs: Record<string, HostArray | undefined>, attrs: A) => HostArray[]) =>
  (inputs: OpInputs<string>, attrs: A): tf.Tensor[] => {
    const host = Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, { shape: [...t!.shape], values: t!.dataSync() as Float32Array }]));
    return loops(host, attrs).map((o) => tf.tensor(o.values, o.shape, 'float32'));
  };

/** dy (N, D), ids (N), buckets (T, N) -> one gradient (rows, D) for each source. */
export const hashEmbeddingGradOp = defineOp<GradInput, HashEmbeddingGradAttrs>({
  name: 'HashEmbeddingGrad',
  inputs: ['dy', 'ids', 'buckets'],
  portable: hashEmbeddingGradPortable,
  naive: naiveForm(hashEmbeddingGradLoops),
  kernels: {
    cpu: cpuKernel(hashEmbeddingGradLoops as Loops<GradInput, HashEmbeddingGradAttrs>),
    wasm: wasmHashEmbeddingGrad,
    webgpu: webgpuHashEmbeddingGrad,
    tensorflow: tensorflowHashEmbeddingGrad,
  },
});

type EmbeddingOp = Op<string, HashEmbeddingAttrs>;
const made = new Map<number, EmbeddingOp>();

/** ids (N), buckets (T, N) and `count` tables t0, t1, … (rows, D) -> (N, D): the sum of one row of each. An op for each number of tables. */
export function hashEmbeddingOp(count: number): EmbeddingOp {
  let op = made.get(count);
  if (!op) made.set(count, (op = defineHashEmbedding(count)));
  return op;
}

function defineHashEmbedding(count: number): EmbeddingOp {
  const tables = Array.from({ length: count }, (_, s) => tableName(s));
  return defineOp<string, HashEmbeddingAttrs>({
    name: `HashEmbedding${count}`,
    inputs: ['ids', 'buckets', ...tables],
    portable: hashEmbeddingPortable,
    naive: naiveForm(hashEmbeddingLoops),
    kernels: { cpu: cpuKernel(hashEmbeddingLoops), wasm: wasmHashEmbedding, webgpu: webgpuHashEmbedding, tensorflow: tensorflowHashEmbedding },
    gradient: ({ dys: [dy], inputs, attrs }) => {
      const { ids, buckets } = inputs;
      const sources = attrs.sources.map((s, i) => ({ ...s, rows: inputs[tables[i]!]!.shape[0]! }));
      const grads = hashEmbeddingGradOp({ dy, ids, buckets }, { sources });
      return Object.fromEntries(tables.map((name, i) => [name, grads[i]!]));
    },
  });
}
