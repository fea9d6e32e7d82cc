import { cloneState, disposeState, Embedding, LinearHead, Rng, SequenceLM } from '@bytelm/core';
import { expectClose, expectNoLeak, expectRecordedSteps, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
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

  it('leave the states of rows that take no part', async () => {
    const model = mlstmStack({ dModel: D, numHeads: 2, inputGateBias: 0, dIntermediate: 24, nLayers: 1 }, new Rng(3));
    await expectNoLeak(async () => {
      let onHost = model.initState(3);
      const onDevice = model.onDevice!.begin(cloneState(onHost), 6);
      for (let t = 0; t < 6; t++) {
        const x = new Rng(t).normal([3, D]) as tf.Tensor2D;
        const taking = t % 3 === 2 ? [] : t % 2 ? [1] : [0, 2];
        const active = tf.tensor1d([0, 1, 2].map((r) => Number(taking.includes(r))), 'int32');
        const y = tf.tidy(() => model.onDevice!.step(x, onDevice, { active }));
        if (taking.length) {
          const some = tf.tidy(() => tf.gather(x, tf.tensor1d(taking, 'int32'))) as tf.Tensor2D;
          const out = model.step(some, onHost, taking);
          onHost = out.state;
          const all = await y.array();
          await expectClose(out.y, Float32Array.from(taking.flatMap((r) => all[r]!)), { atol: 1e-5, name: `step ${t}` });
          tf.dispose([some, out.y]);
        }
        tf.dispose([x, active, y]);
      }
      disposeState([onHost, onDevice]);
    });
    model.dispose();
  });
});
