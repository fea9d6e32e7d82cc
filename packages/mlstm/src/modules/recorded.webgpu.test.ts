import { Embedding, LinearHead, Rng, SequenceLM } from '@bytelm/core';
import { expectNoLeak, expectRecordedSteps, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { mlstmStack } from './mlstm-stack.js';

const [V, EOS, D] = [24, 2, 16];
const ids = (seed: number, length: number) => Int32Array.from({ length }, (_, t) => (t % 23 === 11 + seed ? EOS : 3 + ((t * t * 7 + seed * 5 + t) % (V - 3))));

describe('recorded steps of mLSTM', () => {
  beforeAll(() => useBackend('webgpu'));

  it('are those of `step` and of the full pass across documents, in eleven dispatches a block', async () => {
    const rng = new Rng(1);
    const backbone = mlstmStack({ dModel: D, numHeads: 2, inputGateBias: 0, dIntermediate: 24, nLayers: 2 }, rng);
    const model = new SequenceLM({ embed: new Embedding({ vocabSize: V, dModel: D }, rng), backbone, head: new LinearHead({ vocabSize: V, dModel: D, initStd: 0.3 }, rng) }, { documentEnds: [EOS] });
    // Embedding, blocks (one of the eleven forgets), norm, head, document ends.
    await expectNoLeak(async () => expect((await expectRecordedSteps(model, [ids(0, 5 + 64), ids(1, 9 + 64)], [5, 9], 2e-4)).dispatches).toBe(2 * 11 + 4));
    model.dispose();
  });
});
