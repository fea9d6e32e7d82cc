import * as tf from '@tensorflow/tfjs-core';
import { Rng, setKernelPolicy } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { attention } from './attention.js';
import { poolAttention, slotAttention } from './patch-attention.js';

/** Patches of 1 byte, long ones, bytes of none at either end, a row with fewer patches than others, one with none. */
const IDS = [
  [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 3, -1],
  [-1, -1, 0, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1],
  [-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1],
];
const [B, L, M] = [3, 13, 4];
const ids = () => tf.tensor2d(IDS, [B, L], 'int32');

/** Odd widths, other widths of values, one slot and several. */
const SIZES = [
  { S: 1, H: 1, D: 5, Dv: 3 },
  { S: 3, H: 2, D: 4, Dv: 4 },
  { S: 2, H: 3, D: 9, Dv: 8 },
];

/** Segments for the general form: slots of patch j have id j, bytes of none an id that nothing else has. */
const slotIds = (S: number) => tf.tensor2d(Array.from({ length: B }, () => Array.from({ length: M * S }, (_, j) => Math.floor(j / S))), [B, M * S], 'int32');

type Size = (typeof SIZES)[number];
const forms = {
  slotAttention: {
    inputs: ({ S, H, D, Dv }: Size) => [[B, L, H, D], [B, M, S, H, D], [B, M, S, H, Dv]],
    local: (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => slotAttention(q as tf.Tensor4D, { k: k as tf.Tensor5D, v: v as tf.Tensor5D, ids: ids() }) as tf.Tensor,
    general: (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, { S, H, D, Dv }: Size) =>
      attention(q as tf.Tensor4D, { k: tf.reshape(k, [B, M * S, H, D]), v: tf.reshape(v, [B, M * S, H, Dv]), mask: { querySegments: ids(), keySegments: slotIds(S) } }).y as tf.Tensor,
  },
  poolAttention: {
    inputs: ({ S, H, D, Dv }: Size) => [[B, M, S, H, D], [B, L, H, D], [B, L, H, Dv]],
    local: (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => poolAttention(q as tf.Tensor5D, { k: k as tf.Tensor4D, v: v as tf.Tensor4D, ids: ids() }) as tf.Tensor,
    general: (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, { S, H, D, Dv }: Size) => {
      const { y } = attention(tf.reshape(q, [B, M * S, H, D]), { k: k as tf.Tensor4D, v: v as tf.Tensor4D, mask: { querySegments: slotIds(S), keySegments: ids() } });
      return tf.reshape(y, [B, M, S, H, Dv]);
    },
  },
};

describe.each(backendsForTest())('attention between bytes and patches on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(Object.entries(forms))('%s', (_, form) => {
    const make = (size: Size) => form.inputs(size).map((shape, i) => new Rng(7 + i).normal(shape, 1.5));

    it.each(SIZES)('equals the masked form in values and gradients, %j', async (size) => {
      const inputs = make(size);
      const y = form.local(...(inputs as [tf.Tensor, tf.Tensor, tf.Tensor]));
      const expected = form.general(...(inputs as [tf.Tensor, tf.Tensor, tf.Tensor]), size);
      await expectClose(y, expected, { atol: 1e-5 });
      const w = new Rng(3).normal(y.shape);
      const gradients = (f: (...x: [tf.Tensor, tf.Tensor, tf.Tensor]) => tf.Tensor) =>
        tf.grads((...x) => tf.sum(tf.mul(f(...(x as [tf.Tensor, tf.Tensor, tf.Tensor])), w)))(inputs);
      const [mine, theirs] = [gradients(form.local), gradients((...x) => form.general(...x, size))];
      for (const [i, name] of ['q', 'k', 'v'].entries()) await expectClose(mine[i]!, theirs[i]!, { atol: 2e-5, name: `gradient of ${name}` });
    });

    it('has the gradients of finite differences', async () => {
      await checkGradients(form.local as never, make(SIZES[1]!), { samples: backend === 'webgpu' ? 3 : 8, names: ['q', 'k', 'v'] });
    });

    it('agrees with its portable form', async () => {
      const inputs = make(SIZES[2]!) as [tf.Tensor, tf.Tensor, tf.Tensor];
      const run = () => {
        const gradients = tf.grads((...x) => tf.sum(tf.square(form.local(...(x as typeof inputs)))))(inputs);
        return tf.concat([form.local(...inputs), ...gradients].map((t) => tf.reshape(t, [-1])), 0);
      };
      const fast = run();
      setKernelPolicy('portable');
      const portable = run();
      setKernelPolicy('auto');
      await expectClose(fast, portable, { atol: 2e-5 });
    });

    it('leaks nothing', async () => {
      const inputs = make(SIZES[0]!) as [tf.Tensor, tf.Tensor, tf.Tensor];
      await expectNoLeak(() => tf.tidy(() => void tf.grads((...x) => tf.sum(form.local(...(x as typeof inputs))))(inputs)));
    });
  });

  it.each(['attn_cross_enc', 'attn_cross_enc_k2', 'attn_cross_dec'])('equals the golden case %s', async (name) => {
    const { tensors, tol } = loadCase('kernels', name);
    const [q, k, v, querySegments, keySegments] = ['q', 'k', 'v', 'q_seg', 'k_seg'].map((n) => toTensor(tensors.get(`in.${n}`)!)) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor2D, tf.Tensor2D];
    const patches = 8;
    const slots = (x: tf.Tensor4D) => tf.reshape(x, [x.shape[0], patches, x.shape[1] / patches, x.shape[2], x.shape[3]]) as tf.Tensor5D;
    // The decoder's cases have slots as keys, the encoder's as queries.
    const isDecoder = k.shape[1] % patches === 0;
    const y = isDecoder ? slotAttention(q, { k: slots(k), v: slots(v), ids: querySegments }) : poolAttention(slots(q), { k, v, ids: keySegments });
    await expectClose(tf.reshape(y, q.shape), toTensor(tensors.get('out.o')!), { atol: tol['out.o']!, rtol: 0 });
  });

  it('works on nothing', async () => {
    const q = tf.zeros([1, 0, 2, 3]) as tf.Tensor4D;
    const slots = tf.zeros([1, 0, 2, 2, 3]) as tf.Tensor5D;
    expect(slotAttention(q, { k: slots, v: slots, ids: tf.zeros([1, 0], 'int32') }).shape).toEqual([1, 0, 2, 3]);
    expect(poolAttention(slots, { k: q, v: q, ids: tf.zeros([1, 0], 'int32') }).shape).toEqual([1, 0, 2, 2, 3]);
    const none = poolAttention(tf.ones([1, 2, 1, 1, 3]), { k: tf.zeros([1, 0, 1, 3]), v: tf.zeros([1, 0, 1, 3]), ids: tf.zeros([1, 0], 'int32') });
    await expectClose(none, tf.zeros([1, 2, 1, 1, 3]));
  });
});

describe('attention between bytes and patches refuses', () => {
  beforeAll(() => useBackend('cpu'));
  const q = () => tf.zeros([1, 4, 2, 3]) as tf.Tensor4D;
  const slots = () => tf.zeros([1, 2, 2, 2, 3]) as tf.Tensor5D;
  it.each([
    ['slots of other heads', () => slotAttention(q(), { k: slots(), v: tf.zeros([1, 2, 2, 1, 3]), ids: tf.zeros([1, 4], 'int32') }), /\[slotAttention\] `v`/],
    ['ids of another length', () => slotAttention(q(), { k: slots(), v: slots(), ids: tf.zeros([1, 3], 'int32') }), /\[slotAttention\] `ids`/],
    ['ids that are not int32', () => poolAttention(slots(), { k: q(), v: q(), ids: tf.zeros([1, 4]) }), /\[poolAttention\] `ids`.*int32/],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(message);
  });
});
