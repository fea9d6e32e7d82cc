import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ConfigError, stopGradient } from '@bytelm/core';
import { bernoulliDivergenceOp, type Divergence } from '../kernels/bernoulli-divergence.js';
import { reduceLosses, type ReduceOptions } from './reduce.js';

export type { Divergence };

export interface ExactDistillOptions extends ReduceOptions {
  /** (B, P) the teacher's log-probabilities of the same events; no gradient flows to them. */
  teacher: tf.Tensor;
  /**
   * How two yes/no distributions are compared: `kl` (default, teacher first), `crossEntropy` (the paper's form: `kl` plus the teacher's
   * entropy, same gradient), `reverseKl`, `totalVariation`, or its limit for large temperatures `logDifference`.
   */
  divergence?: Divergence;
  /** Divides the log-probabilities, so that improbable patches count as well. Default 5; not used by `logDifference`. */
  temperature?: number;
  /** Subtracted from them: keeps a certain event's complement above 0. Default 1e-6. */
  epsilon?: number;
}

/**
 * Exact distillation: the student's likelihood of "these bytes, then a patch end" is compared with the teacher's likelihood of the subword
 * that spells them. With boundaries in the output both are the same event, so no approximation is left.
 *
 * @param student (B, P) log-probabilities, see `patchLogLikelihoods`.
 * @returns nats; 0 (for `crossEntropy`: the teacher's entropy) with zero gradient exactly where both agree.
 * @throws ShapeError, ConfigError
 * @source Bolmo, arXiv 2512.15586, L_D; the divergences of ALM, arXiv 2503.20083.
 * @example
 * const loss = exactDistillLoss(student, { teacher, mask, divergence: 'kl', temperature: 5 });
 */
export function exactDistillLoss(student: tf.Tensor, { teacher, divergence = 'kl', temperature = 5, epsilon = 1e-6, ...options }: ExactDistillOptions): tf.Tensor {
  const dims = checkShape('exactDistillLoss', student, 'student', '(B, P)', {}, 'float32');
  checkShape('exactDistillLoss', teacher, 'teacher', '(B, P)', dims, 'float32');
  if (options.mask) checkShape('exactDistillLoss', options.mask, 'mask', '(B, P)', dims, 'float32');
  if (!(temperature > 0)) throw new ConfigError(`[exactDistillLoss] temperature: expected a number above 0, got ${temperature}.`);
  return tf.tidy(() => {
    const flat = (x: tf.Tensor) => tf.reshape(x, [-1]);
    const [losses] = bernoulliDivergenceOp({ teacher: flat(stopGradient(teacher)), student: flat(student) }, { divergence, temperature, epsilon });
    return reduceLosses(tf.reshape(losses!, student.shape), options);
  });
}
