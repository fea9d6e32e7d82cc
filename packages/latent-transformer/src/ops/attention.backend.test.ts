import * as tf from '@tensorflow/tfjs-core';
import { setKernelPolicy, type KernelPolicy } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { attention, type AttentionMask } from './attention.js';

const CASES = [
  'attn_bidir', 'attn_causal', 'attn_cross_dec', 'attn_cross_enc', 'attn_cross_enc_k2', 'attn_cross_le', 'attn_decode', 'attn_docs',
  'attn_docs_window', 'attn_dv', 'attn_gqa', 'attn_klen', 'attn_scale_big', 'attn_window',
];

function load(name: string) {
  const { attrs, tensors, tol } = loadCase('kernels', name);
  const get = <T extends tf.Tensor>(key: string) => (tensors.has(key) ? (toTensor(tensors.get(key)!) as T) : undefined);
  const mask: AttentionMask = {
    causal: attrs.causal ?? false,
    queryOffset: attrs.q_offset ?? 0,
    windowLeft: attrs.window_left,
    segmentRule: attrs.seg_rule ?? 'equal',
    querySegments: get('in.q_seg'),
    keySegments: get('in.k_seg'),
    keyLengths: get('in.k_len'),
  };
  return { q: get<tf.Tensor4D>('in.q')!, k: get<tf.Tensor4D>('in.k')!, v: get<tf.Tensor4D>('in.v')!, mask, scale: attrs.scale ?? undefined, cot: get('cot.o')!, tensors, tol };
}

describe.each(backendsForTest())('attention on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(() => setKernelPolicy('auto'));

  // Naive products read back synchronously, which Node cannot on webgpu; there the portable form is compared in agree.webgpu.test.ts.
  const policies: KernelPolicy[] = backend === 'webgpu' ? ['auto'] : ['auto', 'portable', 'naive'];
  it.each(CASES.flatMap((name) => policies.map((policy) => [name, policy] as const)))('%s, %s', async (name, policy) => {
    setKernelPolicy(policy);
    const { q, k, v, mask, scale, cot, tensors, tol } = load(name);
    const { y, lse } = attention(q, { k, v, mask, scale });
    const check = (t: tf.Tensor, key: string) => expectClose(t, toTensor(tensors.get(key)!), { atol: tol[key]!, rtol: 0, name: key });
    await check(y, 'out.o');
    await check(lse, 'out.lse');
    const grads = tf.grads((a, b, c) => tf.sum(tf.mul(attention(a as tf.Tensor4D, { k: b as tf.Tensor4D, v: c as tf.Tensor4D, mask, scale }).y, cot)))([q, k, v]) as tf.Tensor[];
    await check(grads[0]!, 'grad.q');
    await check(grads[1]!, 'grad.k');
    await check(grads[2]!, 'grad.v');
  });

  it('passes gradients of lse too', async () => {
    const [q, k, v] = [4, 5, 6].map((seed, i) => tf.randomNormal([1, i ? 7 : 5, 2, 4], 0, 1, 'float32', seed)) as tf.Tensor4D[];
    const mask: AttentionMask = { causal: true, queryOffset: 2, windowLeft: 3 };
    await checkGradients((a, b, c) => {
      const { y, lse } = attention(a as tf.Tensor4D, { k: b as tf.Tensor4D, v: c as tf.Tensor4D, mask });
      return [y, lse];
    }, [q!, k!, v!], { names: ['q', 'k', 'v'] });
  });

  it('reads positions in place of indices; a negative one is no key', async () => {
    const q = tf.randomNormal([1, 2, 2, 4], 0, 1, 'float32', 1) as tf.Tensor4D;
    const k = tf.randomNormal([1, 4, 2, 4], 0, 1, 'float32', 2) as tf.Tensor4D;
    const v = tf.randomNormal([1, 4, 2, 4], 0, 1, 'float32', 3) as tf.Tensor4D;
    // A ring whose slots hold positions 4, 1, (none), 3; queries at 4 and 5 that see two earlier ones.
    const mask: AttentionMask = {
      causal: true,
      windowLeft: 2,
      queryPositions: tf.tensor2d([[4, 5]], [1, 2], 'int32'),
      keyPositions: tf.tensor2d([[4, 1, -1, 3]], [1, 4], 'int32'),
    };
    const seen: tf.Tensor4D = tf.gather(k, tf.tensor1d([3, 0], 'int32'), 1);
    const seenV: tf.Tensor4D = tf.gather(v, tf.tensor1d([3, 0], 'int32'), 1);
    await expectClose(attention(q, { k, v, mask }).y, attention(q, { k: seen, v: seenV }).y, { atol: 1e-5 });
  });

  it.skipIf(backend === 'webgpu')('gives the same in blocks of any size: longer than one block, odd sizes', async () => {
    // Blocks hold 64 to 512 queries. The cpu backend takes a second for a single head of the first case.
    const heads = backend === 'cpu' ? 1 : 2;
    for (const [T, D, mask] of [
      [530, 5, { causal: true }],
      [150, 12, { causal: true, windowLeft: 70 }],
      [77, 64, { causal: true, queryOffset: -3 }],
    ] as [number, number, AttentionMask][]) {
      const make = (h: number, seed: number) => tf.randomNormal<tf.Rank.R4>([heads, T, h, D], 0, 1, 'float32', seed);
      const [q, k, v, w] = [make(2 * heads, 1), make(heads, 2), make(heads, 3), make(2 * heads, 4)] as const;
      const run = () => {
        const { y, lse } = attention(q, { k, v, mask });
        return [y, lse, ...tf.grads((a, b, c) => tf.sum(tf.mul(attention(a as tf.Tensor4D, { k: b as tf.Tensor4D, v: c as tf.Tensor4D, mask }).y, w)))([q, k, v])];
      };
      const fast = run();
      setKernelPolicy('portable');
      const portable = run();
      setKernelPolicy('naive');
      const { y, lse } = attention(q, { k, v, mask });
      setKernelPolicy('auto');
      await expectClose(portable[0]!, y, { atol: 2e-5, name: 'y' });
      await expectClose(portable[1]!, lse, { atol: 2e-5, name: 'lse' });
      for (const [i, name] of ['y', 'lse', 'dq', 'dk', 'dv'].entries()) await expectClose(fast[i]!, portable[i]!, { atol: 5e-5, rtol: 1e-4, name: `${name} T=${T} D=${D}` });
    }
  });

  it('leaks nothing', async () => {
    const { q, k, v, mask } = load('attn_docs_window');
    attention(q, { k, v, mask });
    await expectNoLeak(() => {
      const { y, lse } = attention(q, { k, v, mask });
      const { value, grads } = tf.valueAndGrads((a, b, c) => tf.sum(attention(a as tf.Tensor4D, { k: b as tf.Tensor4D, v: c as tf.Tensor4D, mask }).y))([q, k, v]);
      tf.dispose([y, lse, value, ...grads]);
    });
  });
});

describe('attention refuses', () => {
  const t = (...shape: number[]) => tf.zeros<tf.Rank.R4>(shape as [number, number, number, number]);
  beforeAll(() => useBackend('cpu'));
  it.each([
    ['head counts that do not divide', () => attention(t(1, 3, 4, 8), { k: t(1, 3, 3, 8), v: t(1, 3, 3, 8) }), /divides the 4/],
    ['other widths of key and query', () => attention(t(1, 3, 4, 8), { k: t(1, 3, 4, 6), v: t(1, 3, 4, 8) }), /`k`: expected shape/],
    ['a value without its key', () => attention(t(1, 3, 4, 8), { k: t(1, 3, 4, 8), v: t(1, 2, 4, 8) }), /`v`: expected shape/],
    ['segments of queries alone', () => attention(t(1, 3, 4, 8), { k: t(1, 3, 4, 8), v: t(1, 3, 4, 8), mask: { querySegments: tf.zeros([1, 3], 'int32') } }), /come together/],
    ['float segments', () => attention(t(1, 3, 4, 8), { k: t(1, 3, 4, 8), v: t(1, 3, 4, 8), mask: { documentIds: tf.zeros([1, 3]) } }), /int32/],
    ['two kinds of query positions', () => attention(t(1, 3, 4, 8), { k: t(1, 3, 4, 8), v: t(1, 3, 4, 8), mask: { queryOffset: 1, queryPositions: tf.zeros([1, 3], 'int32') } }), /exclude each other/],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(message);
  });
});
