import type { OpInputs } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';

export type RoutingInput = 'q' | 'k';

export function probabilityPortable({ q, k }: OpInputs<RoutingInput>): tf.Tensor[] {
  const cos = tf.sum(tf.mul(unit(q!).direction, unit(k!).direction), -1);
  return [tf.clipByValue(tf.mul(tf.sub(1, cos), 0.5), 0, 1)];
}

/** dq, dk. */
export function probabilityGradPortable({ q, k, p, dp }: OpInputs<RoutingInput | 'p' | 'dp'>): tf.Tensor[] {
  const a = unit(q!);
  const b = unit(k!);
  const cos = tf.expandDims(tf.sub(1, tf.mul(p!, 2)), -1);
  const dcos = tf.expandDims(tf.mul(dp!, -0.5), -1);
  return [
    tf.div(tf.mul(dcos, tf.sub(b.direction, tf.mul(cos, a.direction))), a.norm),
    tf.div(tf.mul(dcos, tf.sub(a.direction, tf.mul(cos, b.direction))), b.norm),
  ];
}

function unit(x: tf.Tensor): { direction: tf.Tensor; norm: tf.Tensor } {
  const norm = tf.maximum(tf.sqrt(tf.sum(tf.square(x), -1, true)), 1e-12);
  return { direction: tf.div(x, norm), norm };
}
