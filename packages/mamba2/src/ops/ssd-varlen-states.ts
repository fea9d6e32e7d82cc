import { ShapeError } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { ssd, type SsdParameters } from './ssd.js';

/**
 * Final state of every sequence of a packed row: what a ragged batch of prompts needs to go on one by one.
 *
 * @param x (1, L, H, P); the options are those of `ssd`.
 * @param options.cuSeqlens S+1 increasing positions from 0 to L: sequence i is [cuSeqlens[i], cuSeqlens[i+1]).
 * @returns (S, H, P, N); a sequence without positions gives zeros.
 * @throws ShapeError
 */
export function ssdVarlenStates(
  x: tf.Tensor4D,
  { cuSeqlens, ...options }: SsdParameters & { cuSeqlens: ArrayLike<number>; chunkSize?: number | undefined },
): tf.Tensor4D {
  const length = x.shape[1];
  const cuts = Array.from(cuSeqlens);
  if (x.shape[0] !== 1 || cuts[0] !== 0 || cuts.at(-1) !== length || cuts.some((c, i) => i > 0 && c < cuts[i - 1]!)) {
    throw new ShapeError(
      `[ssdVarlenStates] \`cuSeqlens\`: expected positions that increase from 0 to L = ${length} of a single packed row, got [${cuts.join(', ')}] for a batch of ${x.shape[0]}.`,
    );
  }
  const { heads, headDim, state } = { heads: x.shape[2], headDim: x.shape[3], state: options.B.shape[3]! };
  return tf.tidy(() => {
    const states = cuts.slice(1).map((end, i) => {
      const begin = cuts[i]!;
      if (begin === end) return tf.zeros([1, heads, headDim, state]);
      const part = (t: tf.Tensor) => tf.slice(t, [0, begin], [1, end - begin]);
      const { dt, B, C, z: _, D: __, ...rest } = options;
      return ssd(part(x), { ...rest, dt: part(dt), B: part(B), C: part(C), returnFinalState: true }).finalState;
    });
    return tf.concat(states, 0) as tf.Tensor4D;
  });
}
