import * as tf from '@tensorflow/tfjs-core';

/** Inputs of the scan that every implementation takes; shapes in `ops/ssd.ts`. */
export type SsdInput = 'x' | 'dt' | 'A' | 'B' | 'C' | 'D' | 'dtBias' | 'initialState' | 'documentIds' | 'lengths';
export const SSD_INPUTS: readonly SsdInput[] = ['x', 'dt', 'A', 'B', 'C', 'D', 'dtBias', 'initialState', 'documentIds', 'lengths'];

/** The backward pass also gets the gradients of both outputs; `dState` is absent when the final state was not asked for. */
export type SsdGradInput = SsdInput | 'dy' | 'dState';
export const SSD_GRAD_INPUTS: readonly SsdGradInput[] = [...SSD_INPUTS, 'dy', 'dState'];

export interface SsdAttrs {
  dtSoftplus: boolean;
  /** Limits of delta; 0 and Infinity mean none. */
  dtMin: number;
  dtMax: number;
  chunkSize: number;
  returnFinalState: boolean;
}

/** Sizes of one call, read off the inputs. */
export interface SsdSizes {
  batch: number;
  length: number;
  heads: number;
  headDim: number;
  groups: number;
  state: number;
}

export function ssdSizes(x: { shape: number[] }, B: { shape: number[] }): SsdSizes {
  const [batch, length, heads, headDim] = x.shape as [number, number, number, number];
  return { batch, length, heads, headDim, groups: B.shape[2]!, state: B.shape[3]! };
}

/** Which gradients `SsdGrad` returns, in order. */
export function ssdGradOutputs(has: (name: SsdInput) => boolean): SsdInput[] {
  return (['x', 'dt', 'A', 'B', 'C', 'D', 'dtBias', 'initialState'] as const).filter(has);
}

/** ln(1 + e^v) without overflow. */
export function softplus(v: tf.Tensor): tf.Tensor {
  return tf.add(tf.relu(v), tf.log1p(tf.exp(tf.neg(tf.abs(v)))));
}

/** Step sizes (B, L, H): bias, softplus, limits, and 0 at padding, where the state must stay as it is. */
export function stepSizes(dt: tf.Tensor, dtBias: tf.Tensor | undefined, mask: tf.Tensor | undefined, attrs: SsdAttrs): tf.Tensor {
  let delta = dtBias ? tf.add(dt, dtBias) : dt;
  if (attrs.dtSoftplus) delta = softplus(delta);
  if (attrs.dtMin > 0 || attrs.dtMax < Infinity) delta = tf.clipByValue(delta, attrs.dtMin, Math.min(attrs.dtMax, 3e38));
  return mask ? tf.mul(delta, mask) : delta;
}

/** d delta / d dt (B, L, H): 0 outside the limits and at padding. */
export function stepSizeSlope(dt: tf.Tensor, dtBias: tf.Tensor | undefined, mask: tf.Tensor | undefined, attrs: SsdAttrs): tf.Tensor | undefined {
  const raw = dtBias ? tf.add(dt, dtBias) : dt;
  let slope: tf.Tensor | undefined = attrs.dtSoftplus ? tf.sigmoid(raw) : undefined;
  if (attrs.dtMin > 0 || attrs.dtMax < Infinity) {
    const delta = attrs.dtSoftplus ? softplus(raw) : raw;
    const inside = tf.cast(tf.logicalAnd(tf.greaterEqual(delta, attrs.dtMin), tf.lessEqual(delta, Math.min(attrs.dtMax, 3e38))), 'float32');
    slope = slope ? tf.mul(slope, inside) : inside;
  }
  if (mask) slope = slope ? tf.mul(slope, mask) : tf.mul(tf.onesLike(raw), mask);
  return slope;
}
