import * as tf from '@tensorflow/tfjs-core';
import { cpuKernel, defineOp, gatherRows, segmentPool, type OpInputs } from '@bytelm/core';
import { slotAttentionGradLoops, slotAttentionLoops } from './loops.js';
import { alongSlots, withoutSlots, type PatchAttentionAttrs, type PatchAttentionInput } from './shapes.js';
import { slotAttentionGradTensorflow, slotAttentionTensorflow } from './tensorflow.js';
import { slotAttentionGradWasm, slotAttentionWasm } from './wasm.js';
import { slotAttentionGradWebGpu, slotAttentionWebGpu } from './webgpu.js';

type Sizes = { B: number; L: number; M: number; S: number; H: number; D: number; Dv: number };

function sizesOf({ q, k, v }: OpInputs<PatchAttentionInput>): Sizes {
  const [B, L, H, D] = q!.shape as [number, number, number, number];
  return { B, L, M: k!.shape[1]!, S: k!.shape[2]!, H, D, Dv: v!.shape[4]! };
}

/** The slots of each byte's patch, (B, L, S, H, width); zeros where the byte has none. */
function gathered(slots: tf.Tensor, ids: tf.Tensor, { B, L, M, S, H }: Sizes): tf.Tensor {
  const width = slots.shape[4]!;
  return tf.reshape(gatherRows(tf.reshape(slots, [B, M, S * H * width]), ids), [B, L, S, H, width]);
}

/** Softmax weights (B, L, S, H). */
function weightsOf(q: tf.Tensor, keys: tf.Tensor, scale: number): tf.Tensor {
  const scores = tf.mul(tf.sum(tf.mul(alongSlots(q), keys), -1), scale);
  const raised = tf.exp(tf.sub(scores, tf.max(scores, 2, true)));
  return tf.div(raised, tf.sum(raised, 2, true));
}

function slotAttentionPortable(inputs: OpInputs<PatchAttentionInput>, { scale }: PatchAttentionAttrs): tf.Tensor[] {
  const s = sizesOf(inputs);
  const { q, k, v, ids } = inputs;
  if (s.B * s.L * s.M === 0) return [tf.zeros([s.B, s.L, s.H, s.Dv])];
  const p = weightsOf(q!, gathered(k!, ids!, s), scale);
  // A byte without a patch gets values of zero, whatever its weights are.
  return [tf.sum(tf.mul(tf.expandDims(p, -1), gathered(v!, ids!, s)), 2)];
}

function slotAttentionGradPortable(inputs: OpInputs<PatchAttentionInput | 'dy'>, { scale }: PatchAttentionAttrs): tf.Tensor[] {
  const s = sizesOf(inputs);
  const { q, k, v, ids, dy } = inputs;
  if (s.B * s.L * s.M === 0) return [q!, k!, v!].map((t) => tf.zeros(t.shape));
  const keys = gathered(k!, ids!, s);
  const p = weightsOf(q!, keys, scale);
  const dp = tf.sum(tf.mul(alongSlots(dy!), gathered(v!, ids!, s)), -1);
  const ds = tf.expandDims(tf.mul(tf.mul(p, tf.sub(dp, tf.sum(tf.mul(p, dp), 2, true))), scale), -1);
  const scattered = (x: tf.Tensor, width: number) =>
    tf.reshape(segmentPool(tf.reshape(x, [s.B, s.L, s.S * s.H * width]), ids!, s.M, 'sum'), [s.B, s.M, s.S, s.H, width]);
  return [
    withoutSlots(tf.mul(ds, keys)),
    scattered(tf.mul(ds, alongSlots(q!)), s.D),
    scattered(tf.mul(tf.expandDims(p, -1), alongSlots(dy!)), s.Dv),
  ];
}

/** Backward pass that computes the weights again; a second op, so that backends can bring their own kernel. */
export const slotAttentionGradOp = defineOp<PatchAttentionInput | 'dy', PatchAttentionAttrs>({
  name: 'SlotAttentionGrad',
  inputs: ['q', 'k', 'v', 'ids', 'dy'],
  portable: slotAttentionGradPortable,
  kernels: { cpu: cpuKernel(slotAttentionGradLoops), wasm: slotAttentionGradWasm, webgpu: slotAttentionGradWebGpu, tensorflow: slotAttentionGradTensorflow },
});

/** q (B, L, H, D); k, v (B, M, S, H, D); ids (B, L): every byte attends to the S slots of one patch. */
export const slotAttentionOp = defineOp<PatchAttentionInput, PatchAttentionAttrs>({
  name: 'SlotAttention',
  inputs: ['q', 'k', 'v', 'ids'],
  portable: slotAttentionPortable,
  kernels: { cpu: cpuKernel(slotAttentionLoops), wasm: slotAttentionWasm, webgpu: slotAttentionWebGpu, tensorflow: slotAttentionTensorflow },
  gradient: ({ dys: [dy], inputs, attrs }) => {
    const [q, k, v] = slotAttentionGradOp({ ...inputs, dy }, attrs);
    return { q, k, v };
  },
});
