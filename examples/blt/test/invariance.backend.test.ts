import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { cloneState, disposeState, SequenceContext, type HierarchicalLM, type SequenceLMState } from '@bytelm/core';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { disposeTiny, largestDifference, logitsOfEach, padded, textIds, TINY, tinyModel } from './tiny-models.js';

const BOUND = 2e-4;
const V = 260;
/** Rows of at least so many ids hold an EOS and the BOS of a next document. */
const WITH_ENDS = 24;

describe.each(backendsForTest())('BLT on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  /** Reads rows byte by byte, comparing every position with the full pass. */
  async function expectStepsEqual(model: HierarchicalLM, rows: Int32Array[], full: Float32Array[], state: SequenceLMState, at = rows.map(() => 0), every = rows.map(() => 1)): Promise<void> {
    for (let t = 0; ; t++) {
      const active = rows.flatMap((r, b) => (t % every[b]! === 0 && at[b]! < r.length ? [b] : []));
      if (rows.every((r, b) => at[b]! >= r.length)) break;
      if (!active.length) continue;
      const out = await model.step(Int32Array.from(active, (b) => rows[b]![at[b]!]!), state, active.length === rows.length ? undefined : active);
      state = out.state;
      const y = (await out.logits.data()) as Float32Array;
      active.forEach((b, i) => {
        const want = full[b]!.subarray(at[b]! * V, (at[b]! + 1) * V);
        expect(largestDifference(y.subarray(i * V, (i + 1) * V), want), `row ${b}, position ${at[b]}`).toBeLessThan(BOUND);
        at[b]!++;
      });
      out.logits.dispose();
    }
    disposeState(state);
  }

  describe.each(Object.keys(TINY))('%s', (kind) => {
    it('step = full pass at every position: patches at different places, documents that end, windows that overflow', async () => {
      const model = tinyModel(kind);
      // On wasm every kind takes long rows, elsewhere one does.
      const n = backend === 'wasm' || kind === 'entropy' ? 130 : WITH_ENDS;
      const rows = textIds([n, n, n], WITH_ENDS);
      await expectStepsEqual(model, rows, await logitsOfEach(model, rows), model.initState(3));
      disposeTiny(model);
    });

    it('prefill of unequal prompts, then steps of some rows = full pass', async () => {
      const model = tinyModel(kind);
      const rows = textIds([40, 23, 38], WITH_ENDS);
      const full = await logitsOfEach(model, rows);
      // Row 0 is cut right behind its EOS.
      const cuts = [14, 1, 19];
      const first = padded(rows.map((r, b) => r.slice(0, cuts[b])));
      const read = await model.prefill(first.ids, model.initState(3), first.ctx);
      const y = (await read.logits.data()) as Float32Array;
      rows.forEach((_, b) => {
        const n = cuts[b]! * V;
        const from = b * first.length * V;
        expect(largestDifference(y.subarray(from, from + n), full[b]!.subarray(0, n)), `prefill row ${b}`).toBeLessThan(BOUND);
      });
      tf.dispose(read.logits);
      await expectStepsEqual(model, rows, full, read.state, cuts, [2, 1, 2]);
      disposeTiny(model);
    });

    it('prefill in pieces on top of a state = prefill at once, whatever a piece cuts through; a clone is a snapshot', async () => {
      const model = tinyModel(kind);
      const [ids] = textIds([60], WITH_ENDS);
      const [full] = await logitsOfEach(model, [ids!]);
      const piece = async (from: number, to: number, on: SequenceLMState) => {
        const cut = ids!.slice(from, to);
        const out = await model.prefill(cut, on, new SequenceContext(1, cut.length, { ids: cut }));
        const y = (await out.logits.data()) as Float32Array;
        expect(largestDifference(y, full!.subarray(from * V, to * V)), `bytes ${from} to ${to}`).toBeLessThan(BOUND);
        out.logits.dispose();
        return out.state;
      };
      let state = model.initState(1);
      let snapshot: SequenceLMState | undefined;
      // 20 is the EOS.
      for (const [from, to] of [[0, 1], [1, 3], [3, 20], [20, 21], [21, 44], [44, 60]] as const) {
        if (from === 44) snapshot = cloneState(state);
        state = await piece(from, to, state);
      }
      disposeState(state);
      await expectStepsEqual(model, [ids!], [full!], snapshot!, [44]);
      disposeTiny(model);
    });

    it('batch = single, and more padding changes nothing', async () => {
      const model = tinyModel(kind);
      const rows = textIds([50, 1, 37], WITH_ENDS);
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
      disposeTiny(model);
    });

    it('packed documents = separate runs, but for the n-grams that reach over from one to the next', async () => {
      const model = tinyModel(kind);
      // Documents end with EOS, which closes the last patch; packed, whatever stands last does.
      const rows = [...textIds([29, 23]).map((r) => Int32Array.of(...r, 2)), Int32Array.of(1)];
      const each = await logitsOfEach(model, rows);
      const ids = Int32Array.from(rows.flatMap((r) => [...r]));
      const documentIds = Int32Array.from(rows.flatMap((r, d) => [...r].map(() => d)));
      const ctx = new SequenceContext(1, ids.length, { ids, documentIds });
      // Each document's own vectors, one behind the other.
      const apart = rows.map((r) => model.embed.forward(tf.tensor2d(r, [1, r.length], 'int32'), new SequenceContext(1, r.length, { ids: r })));
      const plan = [await model.parts.chunker.segment(undefined, ctx)];
      const y = tf.tidy(() => model.head.forward(model.backbone.forward(tf.concat(apart, 1), ctx.with({ plan }))));
      expect(largestDifference((await y.data()) as Float32Array, Float32Array.from(each.flatMap((e) => [...e])))).toBeLessThan(BOUND);
      tf.dispose([...apart, y]);
      ctx.dispose();
      disposeTiny(model);
    });

    it('never looks ahead: changing later bytes leaves earlier logits alone', async () => {
      const model = tinyModel(kind);
      const [ids] = textIds([48], WITH_ENDS);
      const [before] = await logitsOfEach(model, [ids!]);
      for (const t of [1, 16, 40]) {
        const changed = ids!.map((v, i) => (i > t ? 4 + ((v * 31 + 7) % 250) : v));
        const [after] = await logitsOfEach(model, [changed]);
        expect(largestDifference(before!.subarray(0, (t + 1) * V), after!.subarray(0, (t + 1) * V)), `after ${t}`).toBeLessThan(BOUND);
      }
      disposeTiny(model);
    });

    it.skipIf(backend === 'webgpu' && kind !== 'entropy')('leaks nothing over decode steps', async () => {
      const model = tinyModel(kind);
      const rows = textIds([9, 4]);
      const steps = backend === 'wasm' ? 100 : 24;
      const decode = async () => {
        const { ids, ctx } = padded(rows);
        const read = await model.prefill(ids, model.initState(2), ctx);
        ctx.dispose();
        read.logits.dispose();
        let state = read.state;
        for (let t = 0; t < steps; t++) {
          const active = t % 3 === 0 ? [1] : undefined;
          const out = await model.step(Int32Array.from(active ?? [0, 1], (b) => (t % 17 === 5 ? 2 : 97 + ((t * 7 + b) % 26))), state, active);
          out.logits.dispose();
          state = out.state;
        }
        disposeState(state);
      };
      // The first pass makes the rotary tables, which stay.
      await decode();
      await expectNoLeak(decode);
      disposeTiny(model);
    });
  });
});
