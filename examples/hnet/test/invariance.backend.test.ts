import { beforeAll, describe, expect, it } from 'vitest';
import { SequenceContext } from '@bytelm/core';
import { backendsForTest, maxError, useBackend } from '@bytelm/core/testing';
import {
  expectBatchEqualsSingle,
  expectDecodingFrees,
  expectNoLookAhead,
  expectPiecesEqual,
  expectPrefillThenSteps,
  expectStepsEqual,
  logitsOf,
  logitsOfEach,
  packed,
} from '@bytelm/example-shared/testing';
import { textIds, TINY, tinyModel } from './tiny-models.js';

const BOUND = 2e-4;

describe.each(backendsForTest())('models on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(Object.keys(TINY))('%s', (kind) => {
    it('step = full pass at every position, rows at different chunk positions', async () => {
      const model = tinyModel(kind);
      const rows = textIds([70, 70, 70]);
      await expectStepsEqual(model, rows, await logitsOfEach(model, rows), model.initState(3), { bound: BOUND });
      model.dispose();
    });

    it('prefill of unequal prompts, then steps of some rows = full pass', async () => {
      const model = tinyModel(kind);
      await expectPrefillThenSteps(model, textIds([40, 33, 38]), [21, 1, 12], { bound: BOUND, every: [2, 1, 2] });
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
      expect(maxError(together!, want), 'one pass').toBeLessThan(BOUND);
      // The first piece ends on the end of a document: the state has to remember it.
      const piece = row.slice(0, 14);
      const read = await model.prefill(piece, model.initState(1), new SequenceContext(1, 14, { ids: piece }));
      read.logits.dispose();
      await expectStepsEqual(model, [row], [want], read.state, { bound: BOUND, at: [14] });
      model.dispose();
    });

    it('prefill in pieces on top of a state = prefill at once; a clone is a snapshot', async () => {
      const model = tinyModel(kind);
      await expectPiecesEqual(model, textIds([45])[0]!, [2, 3, 20, 45], BOUND);
      model.dispose();
    });

    it('batch = single, and more padding changes nothing', async () => {
      const model = tinyModel(kind);
      await expectBatchEqualsSingle(model, textIds([50, 1, 37]), BOUND);
      model.dispose();
    });

    it('packed documents = separate runs', async () => {
      const model = tinyModel(kind);
      const rows = textIds([30, 1, 24]);
      const each = await logitsOfEach(model, rows);
      const { ids, documentIds } = packed(rows);
      const values = await logitsOf(model, ids, new SequenceContext(1, ids.length, { ids, documentIds }));
      expect(maxError(values, each.flatMap((e) => [...e]))).toBeLessThan(BOUND);
      model.dispose();
    });

    it('never looks ahead: changing later bytes leaves earlier logits alone', async () => {
      const model = tinyModel(kind);
      await expectNoLookAhead(model, textIds([48])[0]!, [1, 17, 40], (id) => (id * 31 + 7) % 250, BOUND);
      model.dispose();
    });

    it('leaks nothing over decode steps', async () => {
      const model = tinyModel(kind);
      const [a, b] = textIds([9, 4]) as [Int32Array, Int32Array];
      await expectDecodingFrees(model, [a, b], backend === 'webgpu' ? 30 : 200, (t, row) => 97 + ((t * 7 + row) % 26));
      model.dispose();
    });
  });
});
