import * as tf from '@tensorflow/tfjs-core';
import { NumericError, ShapeError } from '@bytelm/core';

/** Far below any logit that matters, and finite: 0 · −∞ would be NaN. */
const FLOOR = -1e4;

/**
 * Entropy of the softmax over the last axis, in nats: `H = ln Σ e^z − Σ z e^z / Σ e^z`, z = logits − their maximum. Differentiable.
 * Logits of −∞ (ids that are ruled out) add nothing.
 *
 * @param logits (..., V) float32. @returns (...), between 0 and ln V.
 * @throws ShapeError
 */
export function nextByteEntropy(logits: tf.Tensor): tf.Tensor {
  if (logits.dtype !== 'float32' || logits.rank < 1) throw new ShapeError(`[nextByteEntropy] \`logits\`: expected float32 (..., V), got ${logits.dtype} (${logits.shape.join(', ')}).`);
  return tf.tidy(() => {
    const z = tf.clipByValue(tf.sub(logits, tf.max(logits, -1, true)), FLOOR, 0);
    const e = tf.exp(z);
    const sum = tf.sum(e, -1);
    return tf.sub(tf.log(sum), tf.div(tf.sum(tf.mul(e, z), -1), sum));
  });
}

/** `nextByteEntropy` of values on the host; one rounding, at the end. @param out gets one float32 for each row of `vocabSize` logits. */
export function entropyValues(logits: ArrayLike<number>, vocabSize: number, out: Float32Array): Float32Array {
  for (let r = 0, i = 0; r < out.length; r++) {
    const end = i + vocabSize;
    let most = -Infinity;
    for (let k = i; k < end; k++) if (logits[k]! > most) most = logits[k]!;
    let sum = 0;
    let weighted = 0;
    for (; i < end; i++) {
      const z = logits[i]! - most;
      if (z < FLOOR) continue;
      const e = Math.exp(z);
      sum += e;
      weighted += e * z;
    }
    out[r] = Math.log(sum) - weighted / sum;
  }
  return out;
}

/** @throws NumericError naming the first entropy that is no number. */
export function checkEntropies(where: string, values: Float32Array, length: number): void {
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) throw new NumericError(`[${where}] row ${Math.floor(bad / length)}, position ${bad % length}: the entropy model's logits are not finite.`);
}
