import { beforeAll, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { crossEntropy } from '@bytelm/core';
import { useBackend } from '@bytelm/core/testing';
import { answerBits, byteCodec, promptOf, readCute, type Scorable } from './index.js';

const V = 260;
const codec = byteCodec({ offset: 4, bos: 1, eos: 2, vocabSize: V });
const rows = readCute().rows;
const some = [...rows.filter((r) => r.task === 'spell').slice(0, 2), ...rows.filter((r) => r.task === 'spell_inverse').slice(0, 1)];

beforeAll(() => useBackend('cpu'));

/** Guesses the next byte from the last one alone. */
const bigrams = (table: tf.Tensor2D): Scorable => ({
  plan: async () => [],
  loss: (labels, ctx) => {
    const total = crossEntropy(tf.gather(table, tf.tensor1d(ctx.ids!, 'int32')) as tf.Tensor2D, tf.tensor1d(labels, 'int32')) as tf.Scalar;
    return { total, parts: { crossEntropy: total }, records: [] };
  },
});

it('is the surprise at answer and closing quote alone, task by task', async () => {
  const table = tf.randomNormal<tf.Rank.R2>([V, V], 0, 1, 'float32', 1);
  const said = await tf.tidy(() => tf.logSoftmax(table)).data();
  const expected = { spell: { bits: 0, bytes: 0 }, spell_inverse: { bits: 0, bytes: 0 } };
  for (const row of some) {
    const ids = codec.encode(`${promptOf(row)}${row.label}"`);
    const sum = expected[row.task as 'spell'];
    for (let t = ids.length - row.label.length - 1; t < ids.length; t++) sum.bits -= said[ids[t - 1]! * V + ids[t]!]! / Math.LN2;
    sum.bytes += row.label.length + 1;
  }
  const tensors = tf.memory().numTensors;
  const got = await answerBits(bigrams(table), codec, some);
  expect(tf.memory().numTensors).toBe(tensors);
  for (const task of ['spell', 'spell_inverse'] as const) expect(got[task]).toBeCloseTo(expected[task].bits / expected[task].bytes, 4);
});

it('is that of an even guess for who knows nothing', async () => {
  expect((await answerBits(bigrams(tf.zeros([V, V])), codec, some)).spell).toBeCloseTo(Math.log2(V), 4);
});
