import { cloneState, disposeState, SequenceContext, type Segmentation } from '@bytelm/core';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { tinyEntropyModel } from '../testing.js';
import { EntropyPatcher, type EntropyPatcherState } from './entropy-patcher.js';
import { SpacePatcher } from './space-patcher.js';
import type { RulePatcher } from './patcher.js';

const NEWLINE = 14;
const row = (mask: Segmentation, b: number, n: number) => [...mask.boundaryMask.subarray(b * mask.length, b * mask.length + n)];

/** Pseudo-random BLT ids with documents and newlines. */
function someIds(count: number, seed: number): Int32Array {
  let x = seed;
  const next = () => (x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff) >> 8;
  return Int32Array.from({ length: count }, (_, i) => (i === 0 ? 1 : next() % 9 === 0 ? 2 : next() % 7 === 0 ? NEWLINE : 4 + (next() % 256)));
}

describe.each(backendsForTest())('entropy patcher on %s', (backend) => {
  let patcher: EntropyPatcher;
  let threshold: number;
  const B = 3;
  const L = 40;
  const ids = Int32Array.from({ length: B }, (_, b) => b).reduce((all, b) => (all.set(someIds(L, 7 + b), b * L), all), new Int32Array(B * L));

  beforeAll(async () => {
    await useBackend(backend);
    const model = tinyEntropyModel();
    const all = [...(await new EntropyPatcher({ model, threshold: 1 }).entropies(new SequenceContext(B, L, { ids })))].sort((a, b) => a - b);
    threshold = all[Math.floor(all.length * 0.7)]!;
    patcher = new EntropyPatcher({ model, threshold, maxChunkLength: 6, documentEnds: [2], resetOnNewline: true });
  });

  it('gives the same in one pass, in pieces on a state, and id by id with rows at different places', async () => {
    const lengths = [40, 23, 31];
    const whole = await patcher.segment(undefined, new SequenceContext(B, L, { ids, lengths }));
    const counts = lengths.map((n, b) => row(whole, b, n).reduce((a, v) => a + v, 0));
    for (const [b, n] of lengths.entries()) expect(counts[b]! > 3 && counts[b]! < n).toBe(true);

    // Pieces of 7 for all rows, then one id at a time for the rows that go on.
    let state: EntropyPatcherState = patcher.initState(B);
    const found: number[][] = [[], [], []];
    for (let from = 0; from < 14; from += 7) {
      const piece = new Int32Array(B * 7);
      for (let b = 0; b < B; b++) piece.set(ids.subarray(b * L + from, b * L + from + 7), b * 7);
      const out = await patcher.prefill(undefined, state, new SequenceContext(B, 7, { ids: piece }));
      state = out.state;
      for (let b = 0; b < B; b++) found[b]!.push(...row(out.segmentation, b, 7));
    }
    for (let t = 14; t < L; t++) {
      const rows = [0, 1, 2].filter((b) => t < lengths[b]!);
      const out = await patcher.step({ ids: Int32Array.from(rows, (b) => ids[b * L + t]!) }, state, rows);
      state = out.state;
      rows.forEach((b, i) => found[b]!.push(out.decision.boundary[i]!));
    }
    disposeState(state);
    for (const [b, n] of lengths.entries()) expect(found[b]).toEqual(row(whole, b, n));
  });

  it('patches each row as if it were alone, whatever the padding', async () => {
    const lengths = [40, 23, 31];
    const whole = await patcher.segment(undefined, new SequenceContext(B, L, { ids, lengths }));
    for (const [b, n] of lengths.entries()) {
      const alone = await patcher.segment(undefined, new SequenceContext(1, n, { ids: ids.slice(b * L, b * L + n) }));
      expect(row(whole, b, n)).toEqual(row(alone, 0, n));
      expect(row(whole, b, L).slice(n)).toEqual(new Array(L - n).fill(0));
    }
  });

  it('patches packed documents as if each were alone, with its last id closing a patch', async () => {
    const docs = [someIds(9, 3), someIds(14, 5), someIds(6, 9)].map((d) => d.map((id) => (id === 2 ? 50 : id)));
    const packed = Int32Array.from(docs.flatMap((d) => [...d]));
    const documentIds = Int32Array.from(docs.flatMap((d, i) => new Array<number>(d.length).fill(i)));
    const seg = await patcher.segment(undefined, new SequenceContext(1, packed.length, { ids: packed, documentIds }));
    let at = 0;
    for (const [i, d] of docs.entries()) {
      const alone = row(await patcher.segment(undefined, new SequenceContext(1, d.length, { ids: d })), 0, d.length);
      if (i + 1 < docs.length) alone[d.length - 1] = 1;
      expect([...seg.boundaryMask.subarray(at, (at += d.length))]).toEqual(alone);
    }
  });

  it('begins anew in the rows whose document has ended', async () => {
    const read = async (fresh: boolean) => {
      let state = patcher.initState(2);
      const first = new SequenceContext(2, 8, { ids: Int32Array.from([...someIds(8, 21), ...someIds(8, 22)], (id) => (id === 2 ? 50 : id)) });
      if (!fresh) state = patcher.startDocument((await patcher.prefill(undefined, state, first)).state, [1]);
      const out: number[] = [];
      for (const id of [60, 70, 80, 90, 100, 111]) {
        const stepped = await patcher.step({ ids: Int32Array.of(id) }, state, [1]);
        state = stepped.state;
        out.push(stepped.decision.boundary[0]!, stepped.values![0]!);
      }
      disposeState(state);
      return out;
    };
    const [anew, plain] = [await read(false), await read(true)];
    anew.forEach((v, i) => expect(Math.abs(v - plain[i]!)).toBeLessThan(1e-4));
  });

  it('translates ids for a model of another vocabulary', async () => {
    const model = patcher.model;
    const bytes = Uint8Array.from('ordinary text, with spaces', (c) => c.codePointAt(0)!);
    const hnet = new EntropyPatcher({ model, threshold, vocabulary: 'hnet', modelVocabulary: 'blt' });
    const blt = new EntropyPatcher({ model, threshold });
    const segment = async (p: EntropyPatcher, all: number[]) => row(await p.segment(undefined, new SequenceContext(1, all.length, { ids: Int32Array.from(all) })), 0, all.length);
    expect(await segment(hnet, [254, ...bytes])).toEqual(await segment(blt, [1, ...bytes.map((b) => b + 4)]));
  });

  it.skipIf(backend === 'webgpu')('inside a gradient function records nothing of the model', () => {
    const ctx = new SequenceContext(B, L, { ids });
    const x = tf.scalar(2);
    const tensors = (f: () => unknown) => {
      let most = 0;
      tf.grad((y) => {
        f();
        most = tf.memory().numTensors;
        return tf.mul(y, y) as tf.Scalar;
      })(x).dispose();
      return most;
    };
    const plain = tensors(() => {});
    expect(tensors(() => patcher.segment(undefined, ctx))).toBe(plain);
    x.dispose();
  });

  it('leaks no tensor', () =>
    expectNoLeak(async () => {
      const seg = await patcher.segment(undefined, new SequenceContext(B, L, { ids }));
      seg.dispose();
      let { state } = await patcher.prefill(undefined, patcher.initState(B), new SequenceContext(B, L, { ids }));
      const copy = cloneState(state);
      ({ state } = await patcher.step({ ids: Int32Array.of(14, 2, 60) }, state));
      ({ state } = await patcher.step({ ids: Int32Array.of(70, 80) }, state, [0, 1]));
      disposeState([state, copy]);
    }));
});

it('a space patcher in a stage that reads hidden states only says what is missing', () => {
  const inner: RulePatcher<any> = new SpacePatcher();
  expect(() => inner.segment(undefined, new SequenceContext(1, 4))).toThrow('[SpacePatcher] `ctx.ids` is missing');
});
