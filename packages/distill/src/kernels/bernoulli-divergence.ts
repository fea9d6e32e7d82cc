import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';
import { complement, log1mexp } from './elementary.js';

export type Divergence = 'kl' | 'crossEntropy' | 'reverseKl' | 'totalVariation' | 'logDifference';

export interface BernoulliDivergenceAttrs {
  divergence: Divergence;
  temperature: number;
  epsilon: number;
}

type Input = 'teacher' | 'student';

/** Log-probabilities of one event each, (N): how far the student's yes/no distribution is from the teacher's. Differentiable by `student`. */
export const bernoulliDivergenceOp = defineOp<Input, BernoulliDivergenceAttrs>({
  name: 'BernoulliDivergence',
  inputs: ['teacher', 'student'],
  portable: ({ teacher, student }, attrs) => [value(attrs.divergence, tempered(teacher!, attrs), tempered(student!, attrs))],
  gradient: ({ dys: [dy], inputs: { teacher, student }, attrs }) => {
    const slope = derivative(attrs.divergence, tempered(teacher!, attrs), tempered(student!, attrs));
    return { student: tf.mul(dy!, attrs.divergence === 'logDifference' ? slope : tf.div(slope, attrs.temperature)) };
  },
});

/** The limit of large temperatures compares the log-probabilities as they are. */
const tempered = (x: tf.Tensor, { divergence, temperature, epsilon }: BernoulliDivergenceAttrs): tf.Tensor =>
  divergence === 'logDifference' ? x : tf.sub(tf.div(x, temperature), epsilon);

function value(divergence: Divergence, u: tf.Tensor, v: tf.Tensor): tf.Tensor {
  switch (divergence) {
    case 'kl':
      return kl(u, v);
    case 'crossEntropy':
      return tf.neg(tf.add(tf.mul(tf.exp(u), v), tf.mul(complement(u), log1mexp(v))));
    case 'reverseKl':
      return kl(v, u);
    case 'totalVariation':
      return tf.abs(gap(u, v));
    case 'logDifference':
      return tf.abs(tf.sub(v, u));
  }
}

/** By v. */
function derivative(divergence: Divergence, u: tf.Tensor, v: tf.Tensor): tf.Tensor {
  switch (divergence) {
    case 'kl':
    case 'crossEntropy':
      return tf.div(gap(u, v), complement(v));
    case 'reverseKl':
      return tf.mul(tf.exp(v), tf.sub(tf.sub(v, u), tf.sub(log1mexp(v), log1mexp(u))));
    case 'totalVariation':
      return tf.mul(tf.sign(gap(u, v)), tf.exp(v));
    case 'logDifference':
      return tf.sign(tf.sub(v, u));
  }
}

/** `e^u (u − v) + (1 − e^u)(log(1 − e^u) − log(1 − e^v))`. */
const kl = (u: tf.Tensor, v: tf.Tensor): tf.Tensor => tf.add(tf.mul(tf.exp(u), tf.sub(u, v)), tf.mul(complement(u), tf.sub(log1mexp(u), log1mexp(v))));
/** e^v − e^u, exactly 0 where they are equal. Written by the larger of the two. */
const gap = (u: tf.Tensor, v: tf.Tensor): tf.Tensor => {
  const difference = tf.sub(v, u);
  return tf.mul(tf.mul(tf.exp(tf.maximum(u, v)), complement(tf.neg(tf.abs(difference)))), tf.sign(difference));
};
