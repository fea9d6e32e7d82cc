import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { openSafetensors, serializeSafetensors } from '../io/index.js';
import { useBackend } from '../testing/index.js';
import { AdamW } from './adamw.js';

beforeAll(() => useBackend('cpu'));
const params = () => new Map([['w', tf.variable(tf.ones([2]))]]);

it('refuses what does not fit', () => {
  const p = params();
  expect(() => new AdamW([{ params: p }, { params: p, lrMultiplier: 2 }])).toThrow(/w is in two groups \(also as w\)/);
  expect(() => new AdamW([])).toThrow(/expected parameters, got none/);
  expect(() => new AdamW([{ params: p, weightDecay: -1 }], { betas: [0.9, 1], eps: NaN })).toThrow(/betas.*eps.*weightDecay/);
  const optimizer = new AdamW([{ params: p }]);
  expect(() => optimizer.apply(new Map([['v', tf.ones([2])]]), { lr: 1 })).toThrow(/gradients without a parameter: v/);
  expect(() => optimizer.apply(new Map([['w', tf.ones([3])]]), { lr: 1 })).toThrow(/gradient of w: expected shape \(2\), got \(3\)/);
});

it('refuses the state of another model and keeps its own', async () => {
  const other = new AdamW([{ params: [['w', tf.variable(tf.ones([3]))]] }]);
  other.apply(new Map([['w', tf.ones([3])]]), { lr: 1 });
  const saved = other.state();
  saved.delete('step.w');
  const own = new AdamW([{ params: params() }]);
  own.apply(new Map([['w', tf.ones([2])]]), { lr: 1 });
  await expect(own.restore(await openSafetensors(await serializeSafetensors(saved)))).rejects.toThrow(/m\.w has shape \(3\), the parameter \(2\)/);
  expect(own.step).toBe(1);
});
