import * as tf from '@tensorflow/tfjs-core';

/** Rows `rows` of `t` along axis 0; `t` itself (a clone) when `rows` is undefined. */
export function takeRows<T extends tf.Tensor>(t: T, rows?: readonly number[]): T {
  return rows ? tf.tidy(() => tf.gather(t, tf.tensor1d([...rows], 'int32'))) : tf.clone(t);
}

/**
 * `t` with its rows `rows` replaced by `values` (R, ...), as a new tensor; `values` (a clone) when `rows` is undefined.
 * Portable: a gather from [t; values], so it works for float32 on every backend.
 */
export function putRows<T extends tf.Tensor>(t: T, rows: readonly number[] | undefined, values: T): T {
  if (!rows) return tf.clone(values);
  const n = t.shape[0]!;
  const source = Int32Array.from({ length: n }, (_, i) => i);
  rows.forEach((r, i) => (source[r] = n + i));
  return tf.tidy(() => tf.gather(tf.concat([t, values], 0), tf.tensor1d(source, 'int32'))) as T;
}

/** `t` with these rows set to zero. Consumes `t`, as states do. */
export function zeroRows<T extends tf.Tensor>(t: T, rows: readonly number[]): T {
  const zeroed = tf.tidy(() => putRows(t, rows, tf.zeros([rows.length, ...t.shape.slice(1)]) as T));
  t.dispose();
  return zeroed;
}
