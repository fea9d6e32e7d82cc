import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '../../op/define-op.js';
import { shapeOf } from '../host.js';
import { gatherRowsOp, scatterAddRowsOp } from '../rows/op.js';
import type { PoolMode, SegmentPoolAttrs } from './naive.js';

const gather = (x: tf.Tensor, idx: tf.Tensor) => gatherRowsOp({ x, idx }, {})[0];
const scatter = (values: tf.Tensor, idx: tf.Tensor, rows: number) => scatterAddRowsOp({ values, idx }, { rows })[0];

/** Rows per segment, (B, num, 1), at least 1. */
function counts(ids: tf.Tensor, num: number): tf.Tensor {
  const ones = tf.ones([...shapeOf(ids), 1]);
  return tf.maximum(scatter(ones, ids, num), tf.scalar(1));
}

/** Position of each segment's first or last row, (B, num) int32; -1 for an empty segment. */
function edges(ids: tf.Tensor, num: number, mode: 'first' | 'last'): tf.Tensor {
  const [batch, length] = shapeOf(ids);
  const border = tf.ones([batch, 1]);
  const changes = tf.cast(tf.notEqual(tf.slice(ids, [0, 1], [batch, length - 1]), tf.slice(ids, [0, 0], [batch, length - 1])), 'float32');
  const isEdge = tf.concat(mode === 'first' ? [border, changes] : [changes, border], 1);
  const marked = tf.mul(isEdge, tf.reshape(tf.range(1, length + 1, 1, 'float32'), [1, length]));
  const sum = scatter(tf.expandDims(marked, 2), ids, num);
  return tf.cast(tf.sub(tf.reshape(sum, [batch, num]), 1), 'int32');
}

/** Running maximum inside each segment in log2(L) rounds: rows of a segment are adjacent, so its last row ends up with the whole. */
function runningMax(x: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  const [batch, length, width] = shapeOf(x);
  let best = tf.clone(x);
  for (let by = 1; by < length; by *= 2) {
    const last = best;
    best = tf.tidy(() => {
      const rest = length - by;
      const earlier = tf.slice(best, [0, 0, 0], [batch, rest, width]);
      const later = tf.slice(best, [0, by, 0], [batch, rest, width]);
      const isSame = tf.expandDims(tf.equal(tf.slice(ids, [0, by], [batch, rest]), tf.slice(ids, [0, 0], [batch, rest])), 2);
      const joined = tf.where(isSame, tf.maximum(earlier, later), later);
      return tf.concat([tf.slice(best, [0, 0, 0], [batch, by, width]), joined], 1);
    });
    last.dispose();
  }
  return best;
}

export function portableSegmentPool({ x, ids }: OpInputs<'x' | 'ids'>, { num, mode }: SegmentPoolAttrs): tf.Tensor[] {
  const [batch, length, width] = shapeOf(x!);
  if (batch * length * width * num === 0) return [tf.zeros([batch, num, width])];
  if (mode === 'sum') return [scatter(x!, ids!, num)];
  if (mode === 'mean') return [tf.div(scatter(x!, ids!, num), counts(ids!, num))];
  if (mode === 'first' || mode === 'last') return [gather(x!, edges(ids!, num, mode))];
  const last = edges(ids!, num, 'last');
  return [mode === 'max' ? gather(runningMax(x!, ids!), last) : tf.neg(gather(runningMax(tf.neg(x!), ids!), last))];
}

export function portableSegmentPoolGrad({ x, ids, y, dy }: OpInputs<'x' | 'ids' | 'y' | 'dy'>, { num, mode }: SegmentPoolAttrs): tf.Tensor[] {
  if (x!.size === 0 || num === 0) return [tf.zeros(x!.shape)];
  return [poolGradient(x!, ids!, y!, dy!, num, mode)];
}

function poolGradient(x: tf.Tensor, ids: tf.Tensor, y: tf.Tensor, dy: tf.Tensor, num: number, mode: PoolMode): tf.Tensor {
  if (mode === 'sum') return gather(dy, ids);
  if (mode === 'mean') return gather(tf.div(dy, counts(ids, num)), ids);
  if (mode === 'first' || mode === 'last') return scatter(dy, edges(ids, num, mode), shapeOf(x)[1]);
  const isBest = tf.cast(tf.equal(x, gather(y, ids)), 'float32');
  const ties = scatter(isBest, ids, num);
  const share = tf.div(dy, tf.add(ties, tf.cast(tf.equal(ties, 0), 'float32')));
  return tf.mul(isBest, gather(share, ids));
}
