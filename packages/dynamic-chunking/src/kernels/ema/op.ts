import * as tf from '@tensorflow/tfjs-core';
import { defineOp, scan, type OpInputs } from '@bytelm/core';

type Input = 'x' | 'p' | 'initialState' | 'documentIds';

export interface EmaAttrs {
  min: number;
  max: number;
}

const clamp = (p: tf.Tensor, { min, max }: EmaAttrs): tf.Tensor2D => tf.clipByValue(p, min, max) as tf.Tensor2D;

/** `z_t = P_t x_t + (1 − P_t) z_{t−1}`, P = p clamped; x (B, M, D), p (B, M). */
export const emaOp = defineOp<Input, EmaAttrs>({
  name: 'Ema',
  inputs: ['x', 'p', 'initialState', 'documentIds'],
  saveOutputs: [true],
  portable: (inputs, attrs) => {
    const P = clamp(inputs.p!, attrs);
    const b = tf.mul(inputs.x!, tf.expandDims(P, -1)) as tf.Tensor3D;
    return [scan(b, tf.sub(1, P), options(inputs)).y];
  },
  /** With G the reversed scan of dz by decays shifted by one: dx = P·G, dp = <G, x − z_{t−1}> where p is inside the clamp. */
  gradient: ({ dys: [dz], inputs, outputs: [z], attrs }) => {
    const { x, p, initialState } = inputs;
    const [B, M, D] = x!.shape as [number, number, number];
    const P = clamp(p!, attrs);
    const decay = tf.sub(1, P);
    const nextDecay = tf.concat([tf.slice(decay, [0, 1], [B, M - 1]), tf.zeros([B, 1])], 1) as tf.Tensor2D;
    const documentIds = inputs.documentIds as tf.Tensor2D | undefined;
    const G = scan(dz as tf.Tensor3D, nextDecay, { reverse: true, ...(documentIds && { documentIds }) }).y;
    const starts = documentIds && startMask(documentIds);
    const before = tf.concat([initialState ? tf.expandDims(initialState, 1) : tf.zeros([B, 1, D]), tf.slice(z!, [0, 0, 0], [B, M - 1, D])], 1);
    const previous = starts ? tf.mul(before, tf.expandDims(tf.sub(1, starts), -1)) : before;
    const inside = tf.cast(tf.equal(P, p!), 'float32');
    const dp = tf.mul(tf.sum(tf.mul(G, tf.sub(x!, previous)), -1), inside);
    const grads: OpInputs<Input> = { x: tf.mul(G, tf.expandDims(P, -1)), p: dp };
    if (initialState) {
      const first = starts ? tf.mul(tf.sub(1, tf.slice(starts, [0, 0], [B, 1])), tf.slice(decay, [0, 0], [B, 1])) : tf.slice(decay, [0, 0], [B, 1]);
      grads.initialState = tf.mul(first, tf.reshape(tf.slice(G, [0, 0, 0], [B, 1, D]), [B, D]));
    }
    return grads;
  },
});

function options({ initialState, documentIds }: OpInputs<Input>) {
  return { ...(initialState && { initialState: initialState as tf.Tensor2D }), ...(documentIds && { documentIds: documentIds as tf.Tensor2D }) };
}

/** (B, M) float32: 1 where the id differs from the one before; the first position is one when its id is not 0 (the initial state belongs to id 0). */
function startMask(ids: tf.Tensor2D): tf.Tensor2D {
  const [B, M] = ids.shape;
  const before = tf.concat([tf.zeros([B, 1], 'int32'), tf.slice(ids, [0, 0], [B, M - 1])], 1);
  return tf.cast(tf.notEqual(ids, before), 'float32') as tf.Tensor2D;
}
