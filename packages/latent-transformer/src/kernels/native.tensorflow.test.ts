import { setKernelPolicy, type Op, type OpInputs } from '@bytelm/core';
import { expectNativeAgrees, hasNativeOps, integerTensor, randomTensors } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { attentionGradOp, attentionOp } from './attention/op.js';
import type { AttentionAttrs, AttentionInput } from './attention/mask.js';
import { rotaryOp } from './rotary/op.js';

const hasNative = await hasNativeOps();
const random = randomTensors(200);
const agree = <N extends string, A extends object>(op: Op<N, A>, inputs: OpInputs<N>, attrs: A) => expectNativeAgrees(op, inputs, attrs, 1e-4);

const attrs: AttentionAttrs = { scale: 0.3, causal: true, queryOffset: 0, windowLeft: -1, segmentRule: 'equal' };
const [queries, keys] = [67, 131];
const cases: Record<string, { heads?: [number, number]; sizes?: [number, number]; inputs?: OpInputs<AttentionInput>; attrs?: Partial<AttentionAttrs> }> = {
  causal: { sizes: [67, 67] },
  'one query': { sizes: [1, 9], attrs: { causal: false } },
  'shared key heads': { heads: [6, 2], sizes: [65, 65] },
  window: { sizes: [130, 130], attrs: { windowLeft: 20 } },
  'offset of the queries': { attrs: { queryOffset: keys - queries, windowLeft: 70 } },
  lengths: { inputs: { keyLengths: integerTensor([2], (b) => (b ? 0 : 80)) }, attrs: { causal: false } },
  segments: { sizes: [131, 131], inputs: { querySegments: integerTensor([2, keys], (i) => Math.floor((i % keys) / 40)), keySegments: integerTensor([2, keys], (i) => Math.floor((i % keys) / 40)) } },
  'segments up to': {
    inputs: { querySegments: integerTensor([2, queries], (i) => Math.floor((i % queries) / 20)), keySegments: integerTensor([2, keys], (i) => Math.floor((i % keys) / 40)) },
    attrs: { causal: false, segmentRule: 'le' },
  },
  positions: {
    inputs: { queryPositions: integerTensor([2, queries], (i) => (i % queries) + 50), keyPositions: integerTensor([2, keys], (i) => ((i * 7) % keys) - 3) },
    attrs: { windowLeft: 60 },
  },
};

describe.skipIf(!hasNative)('native and portable forms agree', () => {
  afterEach(() => setKernelPolicy('auto'));

  it.each(Object.keys(cases))('attention, %s', async (name) => {
    const { heads: [heads, kvHeads] = [3, 3], sizes: [tq, tk] = [queries, keys], inputs: masks, attrs: more } = cases[name]!;
    const all = { ...attrs, ...more };
    const inputs = { q: random(2, tq, heads, 19), k: random(2, tk, kvHeads, 19), v: random(2, tk, kvHeads, 33), ...masks };
    await agree(attentionOp, inputs, all);
    const [y, lse] = attentionOp(inputs, all);
    const dy = random(...y!.shape);
    const delta = tf.transpose(tf.sum(tf.mul(dy, y!), -1), [0, 2, 1]);
    await agree(attentionGradOp, { ...inputs, dy, lse, delta }, all);
  });

  it.each([false, true])('rotary, interleaved %s', async (interleaved) => {
    const [cos, sin] = [random(70, 9), random(70, 9)];
    await agree(rotaryOp, { x: random(2, 33, 3, 18), cos, sin }, { interleaved, inverse: false, offset: 37 });
    const positions = integerTensor([2, 33], (i) => (i * 11) % 70);
    await agree(rotaryOp, { x: random(2, 33, 3, 20), cos, sin, positions }, { interleaved, inverse: true, offset: 0 });
  });

  it('a position outside the table is an error', () => {
    const x = { x: random(1, 2, 1, 4), cos: random(3, 2), sin: random(3, 2), positions: integerTensor([1, 2], (i) => 2 + i) };
    expect(() => rotaryOp(x, { interleaved: false, inverse: false, offset: 0 })).toThrow(/position 3 is outside the table of 3 rows/);
  });

  it('NaN in a score does not vanish', async () => {
    const bad = tf.fill([1, 3, 1, 4], NaN);
    const [y] = attentionOp({ q: bad, k: random(1, 3, 1, 4), v: random(1, 3, 1, 4) }, attrs);
    expect(Array.from(await y!.data()).every(Number.isNaN)).toBe(true);
  });
});
