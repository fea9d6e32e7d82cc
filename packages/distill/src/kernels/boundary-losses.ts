import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';
import { complement, log1mexp } from './elementary.js';

interface Attrs {
  clip: number;
}

/** Log-probabilities are kept below `−clip`; what was above gets no gradient. */
const clipped = (x: tf.Tensor, { clip }: Attrs): tf.Tensor => tf.minimum(x, tf.fill(x.shape, -clip));
const below = (x: tf.Tensor, { clip }: Attrs): tf.Tensor => tf.cast(tf.lessEqual(x, -clip), 'float32');

/** `−[y lp + (1 − y) log(1 − e^lp)]` of log-probabilities and labels, (N) each. */
export const boundaryCrossEntropyOp = defineOp<'logProb' | 'labels', Attrs>({
  name: 'BoundaryCrossEntropy',
  inputs: ['logProb', 'labels'],
  portable: ({ logProb, labels }, attrs) => {
    const lp = clipped(logProb!, attrs);
    return [tf.neg(tf.add(tf.mul(labels!, lp), tf.mul(tf.sub(1, labels!), log1mexp(lp))))];
  },
  gradient: ({ dys: [dy], inputs: { logProb, labels }, attrs }) => {
    const lp = clipped(logProb!, attrs);
    const odds = tf.div(tf.exp(lp), complement(lp));
    const slope = tf.sub(tf.mul(tf.sub(1, labels!), odds), labels!);
    return { logProb: tf.mul(tf.mul(dy!, slope), below(logProb!, attrs)) };
  },
});

/** Jensen-Shannon divergence of two boundary probabilities given by their logarithms, (N) each. Differentiable by `logProb`. */
export const boundaryDivergenceOp = defineOp<'logProb' | 'target', Attrs>({
  name: 'BoundaryDivergence',
  inputs: ['logProb', 'target'],
  portable: ({ logProb, target }, attrs) => {
    const [a, b] = [clipped(logProb!, attrs), clipped(target!, attrs)];
    const { logMean, logRest } = mixture(a, b);
    const half = (x: tf.Tensor) => tf.add(tf.mul(tf.exp(x), tf.sub(x, logMean)), tf.mul(complement(x), tf.sub(log1mexp(x), logRest)));
    return [tf.mul(0.5, tf.add(half(a), half(b)))];
  },
  gradient: ({ dys: [dy], inputs: { logProb, target }, attrs }) => {
    const [a, b] = [clipped(logProb!, attrs), clipped(target!, attrs)];
    const { logMean, logRest } = mixture(a, b);
    const slope = tf.mul(tf.mul(0.5, tf.exp(a)), tf.sub(tf.sub(a, log1mexp(a)), tf.sub(logMean, logRest)));
    return { logProb: tf.mul(tf.mul(dy!, slope), below(logProb!, attrs)) };
  },
});

/** Logarithms of the mean of both probabilities and of the mean of their complements. */
function mixture(a: tf.Tensor, b: tf.Tensor): { logMean: tf.Tensor; logRest: tf.Tensor } {
  return {
    logMean: tf.log(tf.mul(0.5, tf.add(tf.exp(a), tf.exp(b)))),
    logRest: tf.log(tf.mul(0.5, tf.add(complement(a), complement(b)))),
  };
}
