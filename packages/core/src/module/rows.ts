import * as tf from '@tensorflow/tfjs-core';
import { hostTensor, hostValues } from '../op/host-view.js';

/** Rows `rows` of `t` along axis 0; `t` itself (a clone) when `rows` is undefined. For states and steps: not differentiable. */
export function takeRows<T extends tf.Tensor>(t: T, rows?: readonly number[]): T {
  if (!rows) return tf.clone(t);
  const width = rowSize(t);
  const quick = t.dtype === 'float32' && hostTensor<T>([rows.length, ...t.shape.slice(1)], (out) => {
    const from = hostValues(t)!;
    rows.forEach((r, i) => out.set(from.subarray(r * width, (r + 1) * width), i * width));
  });
  return quick || tf.tidy(() => tf.gather(t, tf.tensor1d([...rows], 'int32')));
}

/**
 * `t` with its rows `rows` replaced by `values` (R, ...) of the same dtype, as a new tensor; `values` (a clone) when `rows` is undefined.
 * For states and steps: not differentiable.
 */
export function putRows<T extends tf.Tensor>(t: T, rows: readonly number[] | undefined, values: T): T {
  if (!rows) return tf.clone(values);
  const width = rowSize(t);
  const quick = t.dtype === 'float32' && hostTensor<T>(t.shape, (out) => {
    out.set(hostValues(t)!);
    const from = hostValues(values)!;
    rows.forEach((r, i) => out.set(from.subarray(i * width, (i + 1) * width), r * width));
  });
  if (quick) return quick;
  const n = t.shape[0]!;
  const source = Int32Array.from({ length: n }, (_, i) => i);
  rows.forEach((r, i) => (source[r] = n + i));
  return tf.tidy(() => tf.gather(tf.concat([t, values], 0), tf.tensor1d(source, 'int32'))) as T;
}

/** `t` with these rows set to zero. Consumes `t`, as states do. */
export function zeroRows<T extends tf.Tensor>(t: T, rows: readonly number[]): T {
  const zeroed = tf.tidy(() => putRows(t, rows, tf.zeros([rows.length, ...t.shape.slice(1)], t.dtype) as T));
  t.dispose();
  return zeroed;
}

const rowSize = (t: tf.Tensor) => t.size / Math.max(1, t.shape[0]!);
