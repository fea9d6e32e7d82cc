import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { cloneState, disposeState, SequenceContext } from '@bytelm/core';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { largestDifference, logitsOfEach, padded, textIds, TINY, tinyModel } from './tiny-models.js';

const BOUND = 2e-4;
const V = 256;

describe.each(backendsForTest())('models on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(Object.keys(TINY))('%s', (kind) => {
    it('step = full pass at every position, rows at different chunk positions', async () => {
      const model = tinyModel(kind);
      const rows = textIds([70, 70, 70]);
      const full = await logitsOfEach(model, rows);
      let state = model.initState(3);
      for (let t = 0; t < 70; t++) {
        const out = await model.step(Int32Array.from(rows, (r) => r[t]!), state);
        state = out.state;
        const y = (await out.logits.data()) as Float32Array;
        for (let b = 0; b < 3; b++) {
          expect(largestDifference(y.subarray(b * V, (b + 1) * V), full[b]!.subarray(t * V, (t + 1) * V)), `row ${b}, step ${t}`).toBeLessThan(BOUND);
        }
        out.logits.dispose();
      }
      disposeState(state);
      model.dispose();
    });

    it('prefill of unequal prompts, then steps of some rows = full pass', async () => {
      const model = tinyModel(kind);
      const rows = textIds([40, 33, 38]);
      const full = await logitsOfEach(model, rows);
      const cuts = [21, 1, 12];
      const first = padded(rows.map((r, b) => r.slice(0, cuts[b])));
      const read = await model.prefill(first.ids, model.initState(3), first.ctx);
      let state = read.state;
      const y = (await read.logits.data()) as Float32Array;
      rows.forEach((_, b) => {
        const n = cuts[b]! * V;
        const from = b * first.length * V;
        expect(largestDifference(y.subarray(from, from + n), full[b]!.subarray(0, n)), `prefill row ${b}`).toBeLessThan(BOUND);
      });
      for (let t = 0; ; t++) {
        // Row 1 takes every step, the others every second one.
        const active = [0, 1, 2].filter((b) => (b === 1 || t % 2 === 0) && cuts[b]! < rows[b]!.length);
        if (!active.length) break;
        const out = await model.step(Int32Array.from(active, (b) => rows[b]![cuts[b]!]!), state, active.length === 3 ? undefined : active);
        state = out.state;
        const logits = (await out.logits.data()) as Float32Array;
        active.forEach((b, i) => {
          const want = full[b]!.subarray(cuts[b]! * V, (cuts[b]! + 1) * V);
          expect(largestDifference(logits.subarray(i * V, (i + 1) * V), want), `row ${b}, position ${cuts[b]}`).toBeLessThan(BOUND);
          cuts[b]!++;
        });
        out.logits.dispose();
      }
      tf.dispose(read.logits);
      disposeState(state);
      model.dispose();
    });

    it('a document that ends while decoding = documents by themselves', async () => {
      const END = 255;
      const model = tinyModel(kind, 1, { documentEnds: [END] });
      const [a, b, c] = textIds([13, 9, 12]) as [Int32Array, Int32Array, Int32Array];
      const row = Int32Array.of(...a, END, ...b, END, ...c);
      const alone = await Promise.all([[...a, END], [...b, END], [...c]].map(async (ids) => (await logitsOfEach(model, [Int32Array.from(ids)]))[0]!));
      const want = Float32Array.from(alone.flatMap((x) => [...x]));
      const [together] = await logitsOfEach(model, [row]);
      expect(largestDifference(together!, want), 'one pass').toBeLessThan(BOUND);
      // The first piece ends on the end of a document: the state has to remember it.
      const piece = row.slice(0, 14);
      const read = await model.prefill(piece, model.initState(1), new SequenceContext(1, 14, { ids: piece }));
      let { state } = read;
      read.logits.dispose();
      for (let t = 14; t < row.length; t++) {
        const out = await model.step(row.subarray(t, t + 1), state);
        state = out.state;
        expect(largestDifference((await out.logits.data()) as Float32Array, want.subarray(t * V, (t + 1) * V)), `step ${t}`).toBeLessThan(BOUND);
        out.logits.dispose();
      }
      disposeState(state);
      model.dispose();
    });

    it('prefill in pieces on top of a state = prefill at once; a clone is a snapshot', async () => {
      const model = tinyModel(kind);
      const [ids] = textIds([45]);
      const [full] = await logitsOfEach(model, [ids!]);
      let state = model.initState(1);
      let snapshot: typeof state | undefined;
      const piece = async (from: number, to: number, on: typeof state) => {
        const cut = ids!.slice(from, to);
        const out = await model.prefill(cut, on, new SequenceContext(1, cut.length, { ids: cut }));
        const y = (await out.logits.data()) as Float32Array;
        expect(largestDifference(y, full!.subarray(from * V, to * V)), `bytes ${from} to ${to}`).toBeLessThan(BOUND);
        out.logits.dispose();
        return out.state;
      };
      for (const [from, to] of [[0, 2], [2, 3], [3, 20], [20, 45]] as const) {
        if (from === 20) snapshot = cloneState(state);
        state = await piece(from, to, state);
      }
      disposeState(state);
      disposeState(await piece(20, 45, snapshot!));
      model.dispose();
    });

    it('batch = single, and more padding changes nothing', async () => {
      const model = tinyModel(kind);
      const rows = textIds([50, 1, 37]);
      const each = await logitsOfEach(model, rows);
      for (const extra of [0, 13]) {
        const { ids, ctx, length } = padded(rows, extra);
        const y = await model.logits(ids, ctx);
        const values = (await y.data()) as Float32Array;
        rows.forEach((r, b) => {
          const from = b * length * V;
          expect(largestDifference(values.subarray(from, from + r.length * V), each[b]!), `row ${b}, ${extra} more`).toBeLessThan(BOUND);
        });
        y.dispose();
        ctx.dispose();
      }
      model.dispose();
    });

    it('packed documents = separate runs', async () => {
      const model = tinyModel(kind);
      const rows = textIds([30, 1, 24]);
      const each = await logitsOfEach(model, rows);
      const ids = Int32Array.from(rows.flatMap((r) => [...r]));
      const documentIds = Int32Array.from(rows.flatMap((r, d) => [...r].map(() => d)));
      const y = await model.logits(ids, new SequenceContext(1, ids.length, { ids, documentIds }));
      const values = (await y.data()) as Float32Array;
      expect(largestDifference(values, Float32Array.from(each.flatMap((e) => [...e])))).toBeLessThan(BOUND);
      y.dispose();
      model.dispose();
    });

    it('never looks ahead: changing later bytes leaves earlier logits alone', async () => {
      const model = tinyModel(kind);
      const [ids] = textIds([48]);
      const [before] = await logitsOfEach(model, [ids!]);
      for (const t of [1, 17, 40]) {
        const changed = ids!.map((v, i) => (i > t ? (v * 31 + 7) % 250 : v));
        const [after] = await logitsOfEach(model, [changed]);
        expect(largestDifference(before!.subarray(0, (t + 1) * V), after!.subarray(0, (t + 1) * V)), `after ${t}`).toBeLessThan(BOUND);
      }
      model.dispose();
    });

    it('leaks nothing over decode steps', async () => {
      const model = tinyModel(kind);
      const rows = textIds([9, 4]);
      const steps = backend === 'webgpu' ? 30 : 200;
      const decode = async () => {
        const { ids, ctx } = padded(rows);
        const read = await model.prefill(ids, model.initState(2), ctx);
        ctx.dispose();
        read.logits.dispose();
        let state = read.state;
        for (let t = 0; t < steps; t++) {
          const active = t % 3 === 0 ? [1] : undefined;
          const out = await model.step(Int32Array.from(active ?? [0, 1], (b) => 97 + ((t * 7 + b) % 26)), state, active);
          out.logits.dispose();
          state = out.state;
        }
        disposeState(state);
      };
      // The first pass makes the rotary tables, which stay.
      await decode();
      await expectNoLeak(decode);
      model.dispose();
    });
  });
});
