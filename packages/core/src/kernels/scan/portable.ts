import * as tf from '@tensorflow/tfjs-core';
import type { OpInputs } from '../../op/define-op.js';
import { shapeOf } from '../host.js';
import { recurrence, shift } from './recurrence.js';

export interface ScanAttrs {
  reverse: boolean;
}
export type ScanInput = 'b' | 'a' | 'h0' | 'lengths' | 'documentIds';
export type ScanGradInput = Exclude<ScanInput, 'b'> | 'y' | 'dy' | 'dfinal';

/** Which steps run (inside `lengths`) and which take the state over (not the first of a document), (B, L) of 0 and 1, if asked for. */
function masks({ a, lengths, documentIds }: { a: tf.Tensor; lengths?: tf.Tensor; documentIds?: tf.Tensor }, reverse: boolean) {
  const [batch, length] = shapeOf(a);
  const runs = lengths && tf.cast(tf.less(tf.reshape(tf.range(0, length, 1, 'int32'), [1, length]), tf.reshape(lengths, [batch, 1])), 'float32');
  let continues: tf.Tensor | undefined;
  if (documentIds && length > 1) {
    const same = tf.cast(tf.equal(tf.slice(documentIds, [0, 1], [batch, length - 1]), tf.slice(documentIds, [0, 0], [batch, length - 1])), 'float32');
    const edge = tf.ones([batch, 1]);
    continues = tf.concat(reverse ? [same, edge] : [edge, same], 1);
  }
  return { runs, continues };
}

/** a with the masks worked in: 0 where a document starts, 1 where nothing runs. */
function effectiveFactor(a: tf.Tensor, { runs, continues }: ReturnType<typeof masks>): tf.Tensor {
  const like = (m: tf.Tensor) => (a.rank === 3 ? tf.expandDims(m, 2) : m);
  const kept = continues ? tf.mul(a, like(continues)) : a;
  return runs ? tf.add(tf.mul(kept, like(runs)), tf.sub(1, like(runs))) : kept;
}

export function portableScan({ b, a, h0, lengths, documentIds }: OpInputs<ScanInput>, { reverse }: ScanAttrs): tf.Tensor[] {
  const [batch, length, width] = shapeOf(b!);
  if (b!.size === 0) return [tf.zeros([batch, length, width]), h0 ? tf.clone(h0) : tf.zeros([batch, width])];
  const m = masks({ a: a!, lengths, documentIds }, reverse);
  const input = m.runs ? tf.mul(b!, tf.expandDims(m.runs, 2)) : b!;
  const y = recurrence(input, effectiveFactor(a!, m), h0, reverse);
  return [y, tf.reshape(tf.slice(y, [0, reverse ? 0 : length - 1, 0], [batch, 1, width]), [batch, width])];
}

/** db, da, dh0 (zeros without h0): g_t = dy_t + a_{t+1} g_{t+1}, db = g, da = g h_{t-1}, dh0 = a_1 g_1. */
export function portableScanGrad({ a, y, h0, lengths, documentIds, dy, dfinal }: OpInputs<ScanGradInput>, { reverse }: ScanAttrs): tf.Tensor[] {
  const [batch, length, width] = shapeOf(y!);
  if (y!.size === 0) return [tf.zeros([batch, length, width]), tf.zerosLike(a!), tf.clone(dfinal!)];
  const m = masks({ a: a!, lengths, documentIds }, reverse);
  const factor = effectiveFactor(a!, m);
  const asRows = tf.reshape(factor, [batch, length, -1]);
  const ahead = shift(asRows, tf.ones([batch, shapeOf(asRows)[2]]), !reverse);
  const g = recurrence(dy!, tf.reshape(ahead, a!.shape), dfinal, !reverse);
  const products = tf.mul(g, shift(y!, h0, reverse));
  let da = a!.rank === 2 ? tf.sum(products, 2) : products;
  const like = (x: tf.Tensor) => (a!.rank === 3 ? tf.expandDims(x, 2) : x);
  for (const mask of [m.runs, m.continues]) if (mask) da = tf.mul(da, like(mask));
  const at = reverse ? length - 1 : 0;
  const first = (x: tf.Tensor) => tf.reshape(tf.slice(x, [0, at, 0], [batch, 1, shapeOf(x)[2]]), [batch, -1]);
  const db = m.runs ? tf.mul(g, tf.expandDims(m.runs, 2)) : g;
  return [db, da, tf.mul(first(g), first(asRows))];
}
