import { scan, type OpInputs } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';

export interface EmaAttrs {
  min: number;
  max: number;
}

export type EmaInput = 'x' | 'p' | 'initialState' | 'documentIds';
export const EMA_INPUTS: readonly EmaInput[] = ['x', 'p', 'initialState', 'documentIds'];

/** The backward pass also gets z and its gradient. */
export type EmaGradInput = EmaInput | 'z' | 'dz';
export const EMA_GRAD_INPUTS: readonly EmaGradInput[] = [...EMA_INPUTS, 'z', 'dz'];

/** Which gradients `EmaGrad` returns, in order. */
export const emaGradOutputs = (has: (name: EmaInput) => boolean): EmaInput[] => (['x', 'p', 'initialState'] as const).filter(has);

const clamp = (p: tf.Tensor, { min, max }: EmaAttrs): tf.Tensor2D => tf.clipByValue(p, min, max) as tf.Tensor2D;

export function emaPortable({ x, p, initialState, documentIds }: OpInputs<EmaInput>, attrs: EmaAttrs): tf.Tensor[] {
  const P = clamp(p!, attrs);
  const options = { ...(initialState && { initialState: initialState as tf.Tensor2D }), ...(documentIds && { documentIds: documentIds as tf.Tensor2D }) };
  return [scan(tf.mul(x!, tf.expandDims(P, -1)), tf.sub(1, P), options).y];
}

/** With G the reversed scan of dz by decays shifted by one: dx = P·G, dp = <G, x − z_{t−1}> where p is inside the clamp. */
export function emaGradPortable(inputs: OpInputs<EmaGradInput>, attrs: EmaAttrs): tf.Tensor[] {
  const { x, p, initialState, z, dz } = inputs;
  const [B, M, D] = x!.shape as [number, number, number];
  const P = clamp(p!, attrs);
  const decay = tf.sub(1, P);
  const nextDecay = tf.concat([tf.slice(decay, [0, 1], [B, M - 1]), tf.zeros([B, 1])], 1) as tf.Tensor2D;
  const documentIds = inputs.documentIds as tf.Tensor2D | undefined;
  const G = scan(dz as tf.Tensor3D, nextDecay, { reverse: true, ...(documentIds && { documentIds }) }).y;
  const before = tf.concat([initialState ? tf.expandDims(initialState, 1) : tf.zeros([B, 1, D]), tf.slice(z!, [0, 0, 0], [B, M - 1, D])], 1);
  const previous = documentIds ? tf.mul(before, tf.expandDims(continuesMask(documentIds), -1)) : before;
  const inside = tf.cast(tf.equal(P, p!), 'float32');
  const grads: { [K in EmaInput]?: () => tf.Tensor } = {
    x: () => tf.mul(G, tf.expandDims(P, -1)),
    p: () => tf.mul(tf.sum(tf.mul(G, tf.sub(x!, previous)), -1), inside),
    initialState: () => tf.mul(tf.slice(decay, [0, 0], [B, 1]), tf.reshape(tf.slice(G, [0, 0, 0], [B, 1, D]), [B, D])),
  };
  return emaGradOutputs((n) => inputs[n] !== undefined).map((n) => grads[n]!());
}

/** (B, M) float32: 0 where the id differs from the one before. The first position goes on from the initial state, as in `scan`. */
function continuesMask(ids: tf.Tensor2D): tf.Tensor2D {
  const [B, M] = ids.shape;
  const same = tf.cast(tf.equal(tf.slice(ids, [0, 1], [B, M - 1]), tf.slice(ids, [0, 0], [B, M - 1])), 'float32');
  return tf.concat([tf.ones([B, 1]), same], 1) as tf.Tensor2D;
}
