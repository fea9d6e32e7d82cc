import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '@bytelm/core';

export type Distance = 'l2' | 'rms' | 'relativeRms' | 'cosine';

interface Attrs {
  distance: Distance;
}

const TINY = 1e-12;
const length = (x: tf.Tensor): tf.Tensor => tf.sqrt(tf.sum(tf.square(x), -1, true));
const floored = (x: tf.Tensor): tf.Tensor => tf.maximum(x, tf.fill(x.shape, TINY));

/** Distance of the rows of `student` from those of `teacher`, (N, D) → (N). Differentiable by `student`; equal rows have gradient 0. */
export const vectorDistanceOp = defineOp<'student' | 'teacher', Attrs>({
  name: 'VectorDistance',
  inputs: ['student', 'teacher'],
  portable: ({ student, teacher }, { distance }) => {
    if (distance === 'cosine') return [tf.sub(1, tf.squeeze(cosine(student!, teacher!).cos, [-1]))];
    const difference = tf.sub(student!, teacher!);
    return [tf.squeeze(tf.mul(length(difference), factor(teacher!, distance)), [-1])];
  },
  gradient: ({ dys: [dy], inputs: { student, teacher }, attrs: { distance } }) => {
    const d = tf.expandDims(dy!, -1);
    if (distance === 'cosine') {
      const { a, b, cos, norm } = cosine(student!, teacher!);
      return { student: tf.mul(d, tf.div(tf.sub(tf.mul(cos, a), b), norm)) };
    }
    const difference = tf.sub(student!, teacher!);
    return { student: tf.mul(tf.mul(d, factor(teacher!, distance)), tf.div(difference, floored(length(difference)))) };
  },
});

/** (N, 1) what the length of the difference is multiplied with. */
function factor(teacher: tf.Tensor, distance: Exclude<Distance, 'cosine'>): tf.Tensor {
  const [N, D] = teacher.shape as [number, number];
  if (distance === 'l2') return tf.ones([N, 1]);
  // ‖a − b‖/√D over ‖b‖/√D: the widths cancel.
  return distance === 'rms' ? tf.fill([N, 1], 1 / Math.sqrt(D)) : tf.div(1, floored(length(teacher)));
}

function cosine(student: tf.Tensor, teacher: tf.Tensor): { a: tf.Tensor; b: tf.Tensor; cos: tf.Tensor; norm: tf.Tensor } {
  const norm = floored(length(student));
  const a = tf.div(student, norm);
  const b = tf.div(teacher, floored(length(teacher)));
  return { a, b, cos: tf.sum(tf.mul(a, b), -1, true), norm };
}
