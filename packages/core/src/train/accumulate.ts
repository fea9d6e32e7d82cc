import * as tf from '@tensorflow/tfjs-core';
import type { BatchSource, TrainableModel, TrainBatch } from './types.js';

/** Means over the batches of one update. */
export interface Accumulated {
  loss: tf.Scalar;
  parts: Map<string, tf.Tensor>;
  grads: Map<string, tf.Tensor>;
  /** Targets seen. */
  targets: number;
  dispose(): void;
}

/** Loss, parts and gradients of `count` batches, averaged; only one set of gradients besides the running sum is alive at a time. */
export async function accumulate(model: TrainableModel, batches: BatchSource, count: number): Promise<Accumulated> {
  let sum: Accumulated | undefined;
  try {
    for (let i = 0; i < count; i++) {
      const batch = await batches.next();
      const { loss, parts, grads } = await model.lossAndGrads(batch);
      const scalars = Object.entries(parts).map(([name, v]) => [name, typeof v === 'number' ? tf.scalar(v) : v] as const);
      const own = made(loss, new Map(scalars), grads, targetsOf(batch));
      sum = sum ? added(sum, own) : own;
    }
    return count === 1 ? sum! : scaled(sum!, 1 / count);
  } catch (e) {
    sum?.dispose();
    throw e;
  }
}

type Tensors = Map<string, tf.Tensor>;

function made(loss: tf.Scalar, parts: Tensors, grads: Tensors, targets: number): Accumulated {
  return { loss, parts, grads, targets, dispose: () => tf.dispose([loss, ...parts.values(), ...grads.values()]) };
}

/** a + b, freeing both. A name that only one of them has keeps that one's value. */
function added(a: Accumulated, b: Accumulated): Accumulated {
  const merge = (x: Tensors, y: Tensors): Tensors => {
    // A tied parameter may come as one tensor under several names: it stays one.
    const sums = new Map<tf.Tensor, tf.Tensor>();
    const sumOf = (name: string): tf.Tensor => {
      const [p, q] = [x.get(name), y.get(name)];
      const key = (p ?? q)!;
      if (!sums.has(key)) sums.set(key, p && q ? tf.add(p, q) : tf.clone(key));
      return sums.get(key)!;
    };
    return new Map([...new Set([...x.keys(), ...y.keys()])].map((name) => [name, sumOf(name)]));
  };
  const out = made(tf.add(a.loss, b.loss), merge(a.parts, b.parts), merge(a.grads, b.grads), a.targets + b.targets);
  a.dispose();
  b.dispose();
  return out;
}

function scaled(a: Accumulated, factor: number): Accumulated {
  const scale = (tensors: Tensors): Tensors => {
    const done = new Map([...new Set(tensors.values())].map((t) => [t, tf.mul(t, factor)]));
    return new Map([...tensors].map(([name, t]) => [name, done.get(t)!]));
  };
  const out = made(tf.mul(a.loss, factor), scale(a.parts), scale(a.grads), a.targets);
  a.dispose();
  return out;
}

/** Positions that are predicted: one less than the real ids of each row. */
export function targetsOf({ batch, length, lengths }: TrainBatch): number {
  return lengths ? lengths.reduce((n, l) => n + Math.max(0, l - 1), 0) : batch * (length - 1);
}

/** Name of the first tensor with a NaN or infinity. */
export async function firstNonFinite(tensors: ReadonlyMap<string, tf.Tensor>): Promise<string | undefined> {
  for (const [name, t] of tensors) if (!(await t.data()).every((v) => Number.isFinite(v))) return name;
  return undefined;
}
