import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, type StageRecord } from '@bytelm/core';

/**
 * Pulls a stage towards one boundary in N positions: `R = N/(N−1) · ((N−1)·F·G + (1−F)·(1−G))`, F the share of boundaries (no gradient),
 * G the mean probability, both over real positions only.
 *
 * @param record What the stage decided in a forward pass.
 * @param N Wanted positions per chunk, > 1; may be fractional.
 * @returns a differentiable scalar; 1 at F = G = 1/N.
 * @source H-Net, arXiv 2507.07955, eq. 10.
 */
export function ratioLoss({ segmentation, context, boundaryProb }: StageRecord, N: number): tf.Scalar {
  if (!(N > 1)) throw new ConfigError(`[ratioLoss] N: expected a number above 1 (positions per chunk), got ${N}.`);
  if (!boundaryProb) throw new ConfigError('[ratioLoss] the chunker has no probabilities. Hint: only learned chunkers have a ratio loss.');
  return tf.tidy(() => {
    const mask = context.maskTensor();
    const positions = context.lengths ? context.lengths.reduce((a, b) => a + b, 0) : context.batch * context.length;
    const F = segmentation.numChunks.reduce((a, b) => a + b, 0) / positions;
    const G = tf.div(tf.sum(mask ? tf.mul(boundaryProb, mask) : boundaryProb), positions);
    // (N−1)FG + (1−F)(1−G), with the factors of G collected: F is a plain number.
    return tf.mul(N / (N - 1), tf.add(1 - F, tf.mul(G, N * F - 1))) as tf.Scalar;
  });
}

/**
 * The auxiliary loss of an H-Net for `SequenceLM`: `weight · R` of each learned stage, as `ratio0`, `ratio1`, …
 * @param targets Wanted positions per chunk of each stage, outermost first.
 * @param weight α; 0.03 in the paper.
 */
export function ratioLosses(targets: readonly number[], weight = 0.03): (records: readonly StageRecord[]) => Record<string, tf.Scalar> {
  return (records) => {
    const learned = records.filter((r) => r.boundaryProb);
    if (learned.length > targets.length) throw new ConfigError(`[ratioLosses] ${learned.length} learned stages, but ${targets.length} targets.`);
    return Object.fromEntries(learned.map((r, s) => [`ratio${s}`, tf.mul(ratioLoss(r, targets[s]!), weight) as tf.Scalar]));
  };
}
