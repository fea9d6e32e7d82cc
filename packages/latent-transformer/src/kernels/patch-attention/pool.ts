import * as tf from '@tensorflow/tfjs-core';
import { cpuKernel, defineOp, gatherRows, segmentPool, type OpInputs } from '@bytelm/core';
import { poolAttentionGradLoops, poolAttentionLoops } from './loops.js';
import { alongSlots, withoutSlots, type PatchAttentionAttrs, type PatchAttentionInput } from './shapes.js';
import { poolAttentionGradTensorflow, poolAttentionTensorflow } from './tensorflow.js';
import { poolAttentionGradWasm, poolAttentionWasm } from './wasm.js';
import { poolAttentionGradWebGpu, poolAttentionWebGpu } from './webgpu.js';

type Sizes = { B: number; L: number; M: number; S: number; H: number; D: number; Dv: number };

function sizesOf({ q, v }: OpInputs<PatchAttentionInput>): Sizes {
  const [B, M, S, H, D] = q!.shape as [number, number, number, number, number];
  return { B, L: v!.shape[1]!, M, S, H, D, Dv: v!.shape[3]! };
}

const isEmpty = (s: Sizes) => s.B * s.L * s.M === 0;

/** What each byte's patch holds, (B, L, S, H, width); zeros for a byte of no patch. */
function toBytes(x: tf.Tensor, ids: tf.Tensor, { B, L, M, S, H }: Sizes): tf.Tensor {
  const width = x.shape[4] ?? 1;
  return tf.reshape(gatherRows(tf.reshape(x, [B, M, S * H * width]), ids), x.rank === 5 ? [B, L, S, H, width] : [B, L, S, H]);
}

/** Sums over the bytes of each patch: (B, L, S, H, width) → (B, M, S, H, width), likewise without the last axis. */
function toPatches(x: tf.Tensor, ids: tf.Tensor, { B, L, M, S, H }: Sizes, mode: 'sum' | 'max' = 'sum'): tf.Tensor {
  const width = x.shape[4] ?? 1;
  return tf.reshape(segmentPool(tf.reshape(x, [B, L, S * H * width]), ids, M, mode), x.rank === 5 ? [B, M, S, H, width] : [B, M, S, H]);
}

/** Softmax weights of each byte in its patch, (B, L, S, H); 0 for a byte of no patch. */
function weightsOf(queries: tf.Tensor, k: tf.Tensor, ids: tf.Tensor, s: Sizes, scale: number): tf.Tensor {
  const scores = tf.mul(tf.sum(tf.mul(queries, alongSlots(k)), -1), scale);
  const raised = tf.exp(tf.sub(scores, toBytes(toPatches(scores, ids, s, 'max'), ids, s)));
  const total = toPatches(raised, ids, s);
  const isEmptyPatch = tf.cast(tf.equal(total, 0), 'float32');
  return tf.mul(raised, toBytes(tf.div(1, tf.add(total, isEmptyPatch)), ids, s));
}

function poolAttentionPortable(inputs: OpInputs<PatchAttentionInput>, { scale }: PatchAttentionAttrs): tf.Tensor[] {
  const s = sizesOf(inputs);
  const { q, k, v, ids } = inputs;
  if (isEmpty(s)) return [tf.zeros([s.B, s.M, s.S, s.H, s.Dv])];
  const p = weightsOf(toBytes(q!, ids!, s), k!, ids!, s, scale);
  return [toPatches(tf.mul(tf.expandDims(p, -1), alongSlots(v!)), ids!, s)];
}

function poolAttentionGradPortable(inputs: OpInputs<PatchAttentionInput | 'dy'>, { scale }: PatchAttentionAttrs): tf.Tensor[] {
  const s = sizesOf(inputs);
  const { q, k, v, ids, dy } = inputs;
  if (isEmpty(s)) return [q!, k!, v!].map((t) => tf.zeros(t.shape));
  const queries = toBytes(q!, ids!, s);
  const p = weightsOf(queries, k!, ids!, s, scale);
  const dyBytes = toBytes(dy!, ids!, s);
  const dp = tf.sum(tf.mul(dyBytes, alongSlots(v!)), -1);
  const delta = toBytes(toPatches(tf.mul(p, dp), ids!, s), ids!, s);
  const ds = tf.expandDims(tf.mul(tf.mul(p, tf.sub(dp, delta)), scale), -1);
  return [
    toPatches(tf.mul(ds, alongSlots(k!)), ids!, s),
    withoutSlots(tf.mul(ds, queries)),
    withoutSlots(tf.mul(tf.expandDims(p, -1), dyBytes)),
  ];
}

/** Backward pass that computes the weights again; a second op, so that backends can bring their own kernel. */
export const poolAttentionGradOp = defineOp<PatchAttentionInput | 'dy', PatchAttentionAttrs>({
  name: 'PoolAttentionGrad',
  inputs: ['q', 'k', 'v', 'ids', 'dy'],
  portable: poolAttentionGradPortable,
  kernels: { cpu: cpuKernel(poolAttentionGradLoops), wasm: poolAttentionGradWasm, webgpu: poolAttentionGradWebGpu, tensorflow: poolAttentionGradTensorflow },
});

/** q (B, M, S, H, D); k, v (B, L, H, D); ids (B, L): the S slots of a patch attend to its own bytes. */
export const poolAttentionOp = defineOp<PatchAttentionInput, PatchAttentionAttrs>({
  name: 'PoolAttention',
  inputs: ['q', 'k', 'v', 'ids'],
  portable: poolAttentionPortable,
  kernels: { cpu: cpuKernel(poolAttentionLoops), wasm: poolAttentionWasm, webgpu: poolAttentionWebGpu, tensorflow: poolAttentionTensorflow },
  gradient: ({ dys: [dy], inputs, attrs }) => {
    const [q, k, v] = poolAttentionGradOp({ ...inputs, dy }, attrs);
    return { q, k, v };
  },
});
