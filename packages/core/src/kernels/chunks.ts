import * as tf from '@tensorflow/tfjs-core';

/** How the positions of a sequence are cut for chunkwise recurrences: `chunks * size` positions, of which the last may be padding. */
export interface ChunkLayout {
  batch: number;
  length: number;
  chunks: number;
  /** Positions of a chunk. */
  size: number;
}

/** (B, L, ...) → (B · chunks, size, ...), the end padded with `fill`. */
export function intoChunks(t: tf.Tensor, c: Omit<ChunkLayout, 'batch'>, fill = 0): tf.Tensor {
  const [batch, , ...rest] = t.shape as number[];
  const extra = c.chunks * c.size - c.length;
  const padded = extra ? tf.pad(t, [[0, 0], [0, extra], ...rest.map((): [number, number] => [0, 0])], fill) : t;
  return tf.reshape(padded, [batch! * c.chunks, c.size, ...rest]);
}

/** The inverse of {@link intoChunks}; what was padded is left out. */
export function outOfChunks(t: tf.Tensor, c: ChunkLayout): tf.Tensor {
  const rest = t.shape.slice(2);
  const long = tf.reshape(t, [c.batch, c.chunks * c.size, ...rest]);
  return c.chunks * c.size === c.length ? long : tf.slice(long, [0, 0, ...rest.map(() => 0)], [c.batch, c.length, ...rest]);
}

/** A constant (size, size) matrix: entry [i, j] is f(i, j). */
export function squareOf(size: number, f: (i: number, j: number) => number): tf.Tensor2D {
  const values = new Float32Array(size * size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) values[i * size + j] = f(i, j);
  return tf.tensor2d(values, [size, size]);
}

/** 1 at real positions (B, L, 1), or `undefined` without padding. @param lengths (B) int32 */
export function realMask(lengths: tf.Tensor | undefined, length: number): tf.Tensor | undefined {
  if (!lengths) return undefined;
  const positions = tf.range(0, length, 1, 'int32');
  return tf.cast(tf.less(tf.reshape(positions, [1, length, 1]), tf.reshape(lengths, [-1, 1, 1])), 'float32');
}
