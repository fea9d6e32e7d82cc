import * as tf from '@tensorflow/tfjs-core';
import { checkShape, stopGradient } from '@bytelm/core';
import { boundaryCrossEntropyOp, boundaryDivergenceOp } from '../kernels/boundary-losses.js';
import { reduceLosses, type ReduceOptions } from './reduce.js';

export interface BoundaryLossOptions extends ReduceOptions {
  /** Log-probabilities above minus this are taken for it and get no gradient. Default 1e-3. */
  clip?: number;
}

/**
 * Trains a boundary predictor to put patches where the tokenizer does: binary cross-entropy in nats of log-probabilities.
 *
 * @param logProb (B, L) float32, log of the probability that a patch ends at t.
 * @param options.labels (B, L) float32, 1 where one does.
 * @param options.mask Leave out padding, and the last positions of a row that a look-ahead cannot decide.
 * @throws ShapeError
 * @source Bolmo, arXiv 2512.15586, L_B.
 */
export function boundaryLoss(logProb: tf.Tensor, { labels, clip = 1e-3, ...options }: BoundaryLossOptions & { labels: tf.Tensor }): tf.Tensor {
  check('boundaryLoss', logProb, labels, 'labels', options.mask);
  return tf.tidy(() => reduceLosses(tf.reshape(boundaryCrossEntropyOp({ logProb: flat(logProb), labels: flat(stopGradient(labels)) }, { clip })[0]!, logProb.shape), options));
}

/**
 * The same towards probabilities instead of labels, e.g. the boundaries that the output head emits: Jensen-Shannon divergence in nats.
 * @param options.target (B, L) log-probabilities; no gradient flows to them.
 */
export function boundaryDivergence(logProb: tf.Tensor, { target, clip = 1e-3, ...options }: BoundaryLossOptions & { target: tf.Tensor }): tf.Tensor {
  check('boundaryDivergence', logProb, target, 'target', options.mask);
  return tf.tidy(() => reduceLosses(tf.reshape(boundaryDivergenceOp({ logProb: flat(logProb), target: flat(stopGradient(target)) }, { clip })[0]!, logProb.shape), options));
}

const flat = (x: tf.Tensor): tf.Tensor => tf.reshape(x, [-1]);

function check(where: string, logProb: tf.Tensor, other: tf.Tensor, name: string, mask: tf.Tensor | undefined): void {
  const dims = checkShape(where, logProb, 'logProb', '(B, L)', {}, 'float32');
  checkShape(where, other, name, '(B, L)', dims, 'float32');
  if (mask) checkShape(where, mask, 'mask', '(B, L)', dims, 'float32');
}

export interface BoundaryScores {
  accuracy: number;
  /** Of the boundaries that were predicted, how many are true; 0 when none was. */
  precision: number;
  /** Of the true boundaries, how many were predicted; 0 when there is none. */
  recall: number;
  /** Positions looked at. */
  count: number;
}

/** How well predicted boundaries agree with true ones. @param valid 1 where a position counts; default all. */
export function boundaryScores(predicted: ArrayLike<number>, labels: ArrayLike<number>, valid?: ArrayLike<number>): BoundaryScores {
  let [count, right, both, said, meant] = [0, 0, 0, 0, 0];
  for (let i = 0; i < labels.length; i++) {
    if (valid && !valid[i]) continue;
    const [p, y] = [predicted[i] ? 1 : 0, labels[i] ? 1 : 0];
    count++;
    right += p === y ? 1 : 0;
    both += p & y;
    said += p;
    meant += y;
  }
  return { accuracy: right / Math.max(1, count), precision: both / Math.max(1, said), recall: both / Math.max(1, meant), count };
}
