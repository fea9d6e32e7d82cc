import * as tf from '@tensorflow/tfjs-core';
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
  logitsOfEach,
  packed,
} from '@bytelm/example-shared/testing';
import { disposeTiny, textIds, TINY, tinyModel } from './tiny-models.js';

const BOUND = 2e-4;
/** Rows of at least so many ids hold an EOS and the BOS of a next document. */
const WITH_ENDS = 24;

describe.each(backendsForTest())('BLT on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(Object.keys(TINY))('%s', (kind) => {
    it('step = full pass at every position: patches at different places, documents that end, windows that overflow', async () => {
      const model = tinyModel(kind);
      // On wasm every kind takes long rows, elsewhere one does.
      const n = backend === 'wasm' || kind === 'entropy' ? 130 : WITH_ENDS;
      const rows = textIds([n, n, n], WITH_ENDS);
      await expectStepsEqual(model, rows, await logitsOfEach(model, rows), model.initState(3), { bound: BOUND });
      disposeTiny(model);
    });

    it('prefill of unequal prompts, then steps of some rows = full pass', async () => {
      const model = tinyModel(kind);
      // Row 0 is cut right behind its EOS.
      await expectPrefillThenSteps(model, textIds([40, 23, 38], WITH_ENDS), [14, 1, 19], { bound: BOUND, every: [2, 1, 2] });
      disposeTiny(model);
    });

    it('prefill in pieces on top of a state = prefill at once, whatever a piece cuts through; a clone is a snapshot', async () => {
      const model = tinyModel(kind);
      // 20 is the EOS.
      await expectPiecesEqual(model, textIds([60], WITH_ENDS)[0]!, [1, 3, 20, 21, 44, 60], BOUND);
      disposeTiny(model);
    });

    it('batch = single, and more padding changes nothing', async () => {
      const model = tinyModel(kind);
      await expectBatchEqualsSingle(model, textIds([50, 1, 37], WITH_ENDS), BOUND);
      disposeTiny(model);
    });

    it('packed documents = separate runs, but for the n-grams that reach over from one to the next', async () => {
      const model = tinyModel(kind);
      // Documents end with EOS, which closes the last patch; packed, whatever stands last does.
      const rows = [...textIds([29, 23]).map((r) => Int32Array.of(...r, 2)), Int32Array.of(1)];
      const each = await logitsOfEach(model, rows);
      const { ids, documentIds } = packed(rows);
      const ctx = new SequenceContext(1, ids.length, { ids, documentIds });
      // Each document's own vectors, one behind the other.
      const apart = rows.map((r) => model.embed.forward(tf.tensor2d(r, [1, r.length], 'int32'), new SequenceContext(1, r.length, { ids: r })));
      const plan = [await model.parts.chunker.segment(undefined, ctx)];
      const y = tf.tidy(() => model.head.forward(model.backbone.forward(tf.concat(apart, 1), ctx.with({ plan }))));
      expect(maxError(await y.data(), each.flatMap((e) => [...e]))).toBeLessThan(BOUND);
      tf.dispose([...apart, y]);
      ctx.dispose();
      disposeTiny(model);
    });

    it('never looks ahead: changing later bytes leaves earlier logits alone', async () => {
      const model = tinyModel(kind);
      await expectNoLookAhead(model, textIds([48], WITH_ENDS)[0]!, [1, 16, 40], (id) => 4 + ((id * 31 + 7) % 250), BOUND);
      disposeTiny(model);
    });

    it.skipIf(backend === 'webgpu' && kind !== 'entropy')('leaks nothing over decode steps', async () => {
      const model = tinyModel(kind);
      const [a, b] = textIds([9, 4]) as [Int32Array, Int32Array];
      await expectDecodingFrees(model, [a, b], backend === 'wasm' ? 100 : 24, (t, row) => (t % 17 === 5 ? 2 : 97 + ((t * 7 + row) % 26)));
      disposeTiny(model);
    });
  });
});
