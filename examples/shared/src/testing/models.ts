/** What holds for every byte model, to be called from tests: a step is a position of the full pass, whatever a batch holds besides. */
import * as tf from '@tensorflow/tfjs-core';
import { cloneState, disposeState, SequenceContext, type Rng, type SequenceLM, type SequenceLMState } from '@bytelm/core';
import { expectNoLeak, maxError } from '@bytelm/core/testing';
import { expect } from 'vitest';
import { padded } from './rows.js';

/** Moves every parameter away from its initial value, so that nothing is tested in a special position. @param noise Standard deviation by name. */
export function disturb(model: Pick<SequenceLM, 'parameters'>, rng: Rng, noise: (name: string) => number): void {
  for (const [name, v] of model.parameters()) {
    const moved = tf.tidy(() => tf.add(v, rng.normal(v.shape, noise(name))));
    v.assign(moved);
    moved.dispose();
  }
}

/** Logits of a pass on the host. Frees the context. */
export async function logitsOf(model: SequenceLM, ids: Int32Array, ctx: SequenceContext): Promise<Float32Array> {
  const y = await model.logits(ids, ctx);
  const values = Float32Array.from(await y.data());
  y.dispose();
  ctx.dispose();
  return values;
}

/** Logits of each row alone, (n, V). */
export async function logitsOfEach(model: SequenceLM, rows: readonly Int32Array[]): Promise<Float32Array[]> {
  const out: Float32Array[] = [];
  for (const ids of rows) out.push(await logitsOf(model, ids, new SequenceContext(1, ids.length, { ids })));
  return out;
}

export interface StepsOptions {
  /** Largest difference that counts as equal. */
  bound: number;
  /** How many ids of each row the state has read. Default: none. */
  at?: readonly number[] | undefined;
  /** Every how many steps a row takes part. Default 1. */
  every?: readonly number[] | undefined;
  /** (n) of each row where the main network takes a step. */
  boundaries?: readonly ArrayLike<number>[] | undefined;
}

/** Reads rows id by id, comparing every position with the full pass of each row. Consumes the state. */
export async function expectStepsEqual(model: SequenceLM, rows: readonly Int32Array[], full: readonly Float32Array[], begun: SequenceLMState, options: StepsOptions): Promise<void> {
  const { bound, every = rows.map(() => 1), boundaries } = options;
  const at = [...(options.at ?? rows.map(() => 0))];
  const V = model.vocabSize;
  let state = begun;
  for (let t = 0; rows.some((r, b) => at[b]! < r.length); t++) {
    const active = rows.flatMap((r, b) => (t % every[b]! === 0 && at[b]! < r.length ? [b] : []));
    if (!active.length) continue;
    const out = await model.step(Int32Array.from(active, (b) => rows[b]![at[b]!]!), state, active.length === rows.length ? undefined : active);
    state = out.state;
    const y = (await out.logits.data()) as Float32Array;
    out.logits.dispose();
    active.forEach((b, i) => {
      const want = full[b]!.subarray(at[b]! * V, (at[b]! + 1) * V);
      expect(maxError(y.subarray(i * V, (i + 1) * V), want), `row ${b}, position ${at[b]}`).toBeLessThan(bound);
      if (boundaries) expect(out.fired[0]![b], `row ${b}, position ${at[b]}: does the main network take a step?`).toBe(boundaries[b]![at[b]!]);
      at[b]!++;
    });
  }
  disposeState(state);
}

/** Reads prompts of different lengths (`cuts`) at once and the rest id by id; all of it is the full pass of each row. */
export async function expectPrefillThenSteps(model: SequenceLM, rows: readonly Int32Array[], cuts: readonly number[], options: Omit<StepsOptions, 'at'>): Promise<void> {
  const full = await logitsOfEach(model, rows);
  const V = model.vocabSize;
  const first = padded(rows.map((r, b) => r.slice(0, cuts[b])));
  const read = await model.prefill(first.ids, model.initState(rows.length), first.ctx);
  first.ctx.dispose();
  const y = (await read.logits.data()) as Float32Array;
  read.logits.dispose();
  rows.forEach((_, b) => {
    const n = cuts[b]! * V;
    const from = b * first.length * V;
    expect(maxError(y.subarray(from, from + n), full[b]!.subarray(0, n)), `prefill row ${b}`).toBeLessThan(options.bound);
  });
  await expectStepsEqual(model, rows, full, read.state, { ...options, at: cuts });
}

/** Reads a row in pieces that end at `ends`, each on top of the state of those before it; the last piece twice more, from snapshots: as a piece and id by id. */
export async function expectPiecesEqual(model: SequenceLM, ids: Int32Array, ends: readonly number[], bound: number): Promise<void> {
  const [full] = await logitsOfEach(model, [ids]);
  const V = model.vocabSize;
  const piece = async (from: number, to: number, on: SequenceLMState) => {
    const cut = ids.slice(from, to);
    const ctx = new SequenceContext(1, cut.length, { ids: cut });
    const out = await model.prefill(cut, on, ctx);
    ctx.dispose();
    const y = await out.logits.data();
    out.logits.dispose();
    expect(maxError(y, full!.subarray(from * V, to * V)), `bytes ${from} to ${to}`).toBeLessThan(bound);
    return out.state;
  };
  let state = model.initState(1);
  for (const [i, to] of ends.slice(0, -1).entries()) state = await piece(ends[i - 1] ?? 0, to, state);
  const snapshots = [cloneState(state), cloneState(state)] as const;
  const [from, to] = ends.slice(-2) as [number, number];
  disposeState(await piece(from, to, state));
  disposeState(await piece(from, to, snapshots[0]));
  await expectStepsEqual(model, [ids], [full!], snapshots[1], { bound, at: [from] });
}

/** Rows of different lengths in one batch, with so many more positions of padding, are each row alone. */
export async function expectBatchEqualsSingle(model: SequenceLM, rows: readonly Int32Array[], bound: number, extras: readonly number[] = [0, 13]): Promise<void> {
  const each = await logitsOfEach(model, rows);
  const V = model.vocabSize;
  for (const extra of extras) {
    const { ids, ctx, length } = padded(rows, extra);
    const values = await logitsOf(model, ids, ctx);
    rows.forEach((r, b) => {
      const from = b * length * V;
      expect(maxError(values.subarray(from, from + r.length * V), each[b]!), `row ${b}, ${extra} more`).toBeLessThan(bound);
    });
  }
}

/** Changing all ids behind a place leaves the logits up to it alone. @param change Another id in place of one. */
export async function expectNoLookAhead(model: SequenceLM, ids: Int32Array, places: readonly number[], change: (id: number) => number, bound: number): Promise<void> {
  const [before] = await logitsOfEach(model, [ids]);
  const V = model.vocabSize;
  for (const t of places) {
    const [after] = await logitsOfEach(model, [ids.map((v, i) => (i > t ? change(v) : v))]);
    expect(maxError(before!.subarray(0, (t + 1) * V), after!.subarray(0, (t + 1) * V)), `after ${t}`).toBeLessThan(bound);
  }
}

/** Prompts, then steps of both rows or of one, leave no tensor behind. @param idAt What row b reads at step t. */
export async function expectDecodingFrees(model: SequenceLM, rows: readonly [Int32Array, Int32Array], steps: number, idAt: (t: number, b: number) => number): Promise<void> {
  const decode = async () => {
    const { ids, ctx } = padded(rows);
    const read = await model.prefill(ids, model.initState(2), ctx);
    ctx.dispose();
    read.logits.dispose();
    let { state } = read;
    for (let t = 0; t < steps; t++) {
      const active = t % 3 === 0 ? [1] : undefined;
      const out = await model.step(Int32Array.from(active ?? [0, 1], (b) => idAt(t, b)), state, active);
      out.logits.dispose();
      state = out.state;
    }
    disposeState(state);
  };
  // The first pass makes the rotary tables, which stay.
  await decode();
  await expectNoLeak(decode);
}
