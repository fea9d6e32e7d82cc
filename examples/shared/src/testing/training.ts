/** What holds for training of every byte model, to be called from tests. */
import * as tf from '@tensorflow/tfjs-core';
import { SequenceContext, type SequenceLM } from '@bytelm/core';
import { AdamW, type LossAndGrads, type TrainBatch } from '@bytelm/core/train';
import { expect } from 'vitest';

/** Frees what `lossAndGrads` gave. */
export function free({ loss, parts, grads }: LossAndGrads): void {
  tf.dispose([loss, ...Object.values(parts).filter((p) => p instanceof tf.Tensor), ...grads.values()]);
}

/** One of the losses of a batch, the whole one unless a part is named. */
export async function lossOf(model: SequenceLM, batch: TrainBatch, part?: string): Promise<number> {
  const made = await model.lossAndGrads(batch);
  const value = (await (part === undefined ? made.loss : (made.parts[part] as tf.Scalar)).data())[0]!;
  free(made);
  return value;
}

/** Ten steps of AdamW on one batch give the losses that cpu gave. */
export async function expectLosses(model: SequenceLM, batch: TrainBatch, lr: number, expected: readonly number[]): Promise<void> {
  const optimizer = new AdamW([{ params: model.parameters(), weightDecay: 0.1 }]);
  const losses: number[] = [];
  for (let i = 0; i < 10; i++) {
    const made = await model.lossAndGrads(batch);
    losses.push((await made.loss.data())[0]!);
    optimizer.apply(made.grads, { lr });
    free(made);
  }
  expect(losses[9]!).toBeLessThan(losses[0]!);
  losses.forEach((l, i) => expect(Math.abs(l - expected[i]!), `step ${i}: ${losses.map((v) => v.toFixed(5)).join(', ')}`).toBeLessThan(3e-4));
  optimizer.dispose();
}

/** The loss of a batch without gradient, under the cuts the model makes now: gradients are derivatives at fixed cuts. */
export async function lossAtTheseCuts(model: SequenceLM, { ids, batch, length, lengths }: TrainBatch & { lengths: Int32Array }): Promise<{ value(): Promise<number>; dispose(): void }> {
  const L = length - 1;
  const inputs = new Int32Array(batch * L);
  const labels = new Int32Array(batch * L).fill(-100);
  for (let b = 0; b < batch; b++)
    for (let t = 0; t < L; t++) {
      inputs[b * L + t] = ids[b * length + t]!;
      if (t + 1 < lengths[b]!) labels[b * L + t] = ids[b * length + t + 1]!;
    }
  const ctx = new SequenceContext(batch, L, { ids: inputs, lengths: lengths.map((n) => n - 1) });
  const plan = await model.plan(ctx);
  return {
    async value() {
      const total = tf.tidy(() => {
        const { total, records } = model.loss(labels, ctx.with({ plan }));
        for (const { context } of records) context.dispose();
        return total;
      });
      return (await total.data().finally(() => total.dispose()))[0]!;
    },
    dispose() {
      for (const s of plan) s.dispose();
      ctx.dispose();
    },
  };
}

export interface GradientsOptions {
  /** How far an entry is moved. */
  eps: number;
  /** Bound relative to the gradient or the slope, whichever is smaller, beside an absolute 2e-3. */
  relative: number;
  /** Which parameters; default all. */
  chosen?: ((name: string, index: number) => boolean) | undefined;
}

/** The gradient of a batch's loss by one entry of each parameter is that of finite differences; a parameter without gradient changes nothing. */
export async function expectGradients(model: SequenceLM, batch: TrainBatch & { lengths: Int32Array }, { eps, relative, chosen = () => true }: GradientsOptions): Promise<void> {
  const made = await model.lossAndGrads(batch);
  const { value, dispose } = await lossAtTheseCuts(model, batch);
  for (const [name, v] of [...model.parameters()].filter(([n], i) => chosen(n, i))) {
    const g = await made.grads.get(name)?.data();
    // The entry with the largest gradient, where the difference quotient is most accurate.
    let at = 0;
    g?.forEach((x, i) => (at = Math.abs(x) > Math.abs(g[at]!) ? i : at));
    const original = Float32Array.from(await v.data());
    const move = (d: number) => tf.tidy(() => v.assign(tf.tensor(original.map((w, i) => (i === at ? w + d : w)), v.shape) as never));
    const lossAt = (d: number) => {
      move(d);
      return value();
    };
    const slope = ((await lossAt(eps)) - (await lossAt(-eps))) / (2 * eps);
    move(0);
    const gradient = g?.[at] ?? 0;
    const bound = 2e-3 + relative * Math.min(Math.abs(gradient), Math.abs(slope));
    expect(Math.abs(slope - gradient), `${name}[${at}]: gradient ${gradient}, finite difference ${slope}`).toBeLessThan(bound);
  }
  dispose();
  free(made);
}
