import { setKernelPolicy, type FastKernel, type OpInputs } from '@bytelm/core';
import { allowHalfPrecision, observeDispatches } from '@bytelm/core/webgpu';
import { expectClose, expectNativeAgrees, integerTensor, randomTensors, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AttentionAttrs, AttentionInput } from './attention/mask.js';
import { attentionGradOp, attentionOp } from './attention/op.js';
import { attentionGradWith, attentionWith, type AttentionDevice } from './attention/webgpu.js';
import type { AttentionTile } from './attention/webgpu-shape.js';
import { canHave } from './attention/webgpu-tiles.js';
import { decodeAttentionOp } from './decode-attention/op.js';
import { decodeOnWebGpu, rowsOnWebGpu } from './decode-attention/webgpu.js';
import { rotaryOp } from './rotary/op.js';

const random = randomTensors(300);
const plain: AttentionAttrs = { scale: 0.3, causal: true, queryOffset: 0, windowLeft: -1, segmentRule: 'equal' };

const DEVICE: AttentionDevice = { memory: 32768, mostWorkgroups: 65535, isSoftware: false };

interface Case {
  batch?: number;
  heads?: [number, number];
  sizes: [number, number];
  dims?: [number, number];
  masks?: OpInputs<AttentionInput>;
  attrs?: Partial<AttentionAttrs>;
}

const ids = (length: number, run: number) => integerTensor([2, length], (i) => Math.floor((i % length) / run));
const CASES: Record<string, () => Case> = {
  'one query, one key': () => ({ sizes: [1, 1], dims: [1, 1] }),
  'causal, 63, odd widths': () => ({ sizes: [63, 63], dims: [19, 33] }),
  'causal, 64': () => ({ sizes: [64, 64], dims: [32, 32], batch: 1 }),
  'causal, 65, grouped heads': () => ({ batch: 2, heads: [6, 2], sizes: [65, 65], dims: [12, 20] }),
  'without a mask, 37 against 130': () => ({ sizes: [37, 130], attrs: { causal: false } }),
  'window, 1000': () => ({ batch: 1, heads: [2, 1], sizes: [1000, 1000], dims: [8, 8], attrs: { windowLeft: 100 } }),
  'offset and window': () => ({ sizes: [67, 131], attrs: { queryOffset: 64, windowLeft: 70 } }),
  'queries before all keys': () => ({ sizes: [20, 20], attrs: { queryOffset: -5 } }),
  'window without causality': () => ({ sizes: [40, 90], attrs: { causal: false, windowLeft: 20 } }),
  'key lengths': () => ({ batch: 2, sizes: [33, 80], masks: { keyLengths: integerTensor([2], (b) => (b ? 0 : 50)) }, attrs: { causal: false } }),
  'packed documents': () => ({ batch: 2, sizes: [131, 131], masks: { querySegments: ids(131, 40), keySegments: ids(131, 40) }, attrs: { windowLeft: 25 } }),
  'segments up to': () => ({ batch: 2, sizes: [67, 131], masks: { querySegments: ids(67, 20), keySegments: ids(131, 40) }, attrs: { causal: false, segmentRule: 'le' } }),
  positions: () => ({
    batch: 2,
    sizes: [67, 131],
    masks: { queryPositions: integerTensor([2, 67], (i) => (i % 67) + 50), keyPositions: integerTensor([2, 131], (i) => ((i * 7) % 131) - 3) },
    attrs: { windowLeft: 60 },
  }),
  'every rule at once': () => ({
    batch: 2,
    heads: [4, 2],
    sizes: [35, 50],
    masks: {
      querySegments: ids(35, 12),
      keySegments: ids(50, 17),
      keyLengths: integerTensor([2], (b) => 50 - 9 * b),
      queryPositions: integerTensor([2, 35], (i) => (i % 35) + 9),
      keyPositions: integerTensor([2, 50], (i) => (i % 50) - 2),
    },
    attrs: { windowLeft: 14 },
  }),
};

/** Tensors of a case, and what `attentionGradOp` needs besides. */
function make({ batch = 2, heads: [heads, kvHeads] = [3, 3], sizes: [queries, keys], dims: [dim, valueDim] = [12, 20], masks, attrs }: Case) {
  const q = random(batch, queries, heads, dim);
  const [k, v] = [random(batch, keys, kvHeads, dim), random(batch, keys, kvHeads, valueDim)];
  return { inputs: { q, k, v, ...masks } as OpInputs<AttentionInput>, attrs: { ...plain, ...attrs } };
}

function backwardInputs(inputs: OpInputs<AttentionInput>, attrs: AttentionAttrs) {
  const [y, lse] = attentionOp(inputs, attrs);
  const dy = random(...y!.shape);
  return { ...inputs, dy, lse: lse!, delta: tf.transpose(tf.sum(tf.mul(dy, y!), -1), [0, 2, 1]) };
}

/** The kernel itself, for limits other than the device's. */
const direct = <N extends string, A>(kernel: FastKernel<N, A>, inputs: OpInputs<N>, attrs: A): tf.Tensor[] =>
  kernel({ inputs, attrs, backend: tf.backend() as never })!.map((t) => tf.engine().makeTensorFromTensorInfo(t));

describe('attention in WGSL and portable', () => {
  beforeAll(() => useBackend('webgpu'));
  afterEach(() => setKernelPolicy('auto'));

  it.each(Object.keys(CASES))('%s', async (name) => {
    const { inputs, attrs } = make(CASES[name]!());
    const keys: string[] = [];
    const stop = observeDispatches((call) => keys.push(call.key));
    await expectNativeAgrees(attentionOp, inputs, attrs, 1e-5);
    await expectNativeAgrees(attentionGradOp, backwardInputs(inputs, attrs), attrs, 2e-5);
    stop();
    for (const kernel of ['forward', 'gradient of queries', 'gradient of keys']) expect(keys.some((k) => k.startsWith(`attention ${kernel}`)), kernel).toBe(true);
  });

  it.each<[string, Partial<AttentionDevice>, AttentionTile]>([
    ['larger tiles', {}, { rows: 16, columns: 16 }],
    ['twice the threads', {}, { rows: 32, columns: 8, height: 16 }],
    ['the text of hardware', { isSoftware: false }, { rows: 8, columns: 8 }],
    ['maxima by subgroups', {}, { rows: 16, columns: 16, subgroups: true }],
    ['tiles of f16', {}, { rows: 16, columns: 16, half: true, subgroups: true }],
  ])('agree with %s', async (_, device, tile) => {
    allowHalfPrecision(tile.half === true);
    // What the device has not is tested where it has it; its text is a snapshot.
    if (!canHave(tf.backend() as never, tile)) return allowHalfPrecision(false);
    allowHalfPrecision(false);
    const { inputs, attrs } = make({ batch: 1, heads: [2, 1], sizes: [41, 41], dims: [12, 16], attrs: { windowLeft: 30 } });
    const backward = backwardInputs(inputs, attrs);
    const { subgroups, half } = tile;
    const isForwardOnly = subgroups || half;
    const found = { ...DEVICE, isSoftware: true, ...device, tile: () => tile };
    const kernels = [...direct(attentionWith(() => found), inputs, attrs), ...(isForwardOnly ? [] : direct(attentionGradWith(() => found), backward, attrs))];
    setKernelPolicy('portable');
    const portable = [...attentionOp(inputs, attrs), ...(isForwardOnly ? [] : attentionGradOp(backward, attrs))];
    for (const [i, t] of portable.entries()) await expectClose(kernels[i]!, t, { atol: half ? 4e-3 : 2e-5, name: ['y', 'lse', 'dq', 'dk', 'dv'][i]! });
  });

  it('declines what is too wide, and the portable form runs', async () => {
    const { inputs, attrs } = make({ batch: 1, heads: [1, 1], sizes: [3, 3], dims: [2000, 2000] });
    expect(attentionWith(() => DEVICE)({ inputs, attrs, backend: tf.backend() as never })).toBeNull();
    await expectNativeAgrees(attentionOp, inputs, attrs);
  });

  it('gives the same bits again, and does not read what was in memory before', async () => {
    const { inputs, attrs } = make(CASES['packed documents']!());
    const backward = backwardInputs(inputs, attrs);
    const run = async () => {
      const made = [...attentionOp(inputs, attrs), ...attentionGradOp(backward, attrs)];
      const values = await Promise.all(made.map((t) => t.data()));
      // The buffers that the next run gets.
      for (const t of made) tf.dispose([t, tf.fill(t.shape, NaN)]);
      return values.map((v) => Float32Array.from(v));
    };
    expect(await run()).toEqual(await run());
  });
});

describe('decoding attention in WGSL and portable', () => {
  beforeAll(() => useBackend('webgpu'));

  it.each<[string, { capacity: number; heads: [number, number]; dims: [number, number]; counts: number[]; starts?: number[]; rows?: number[] }]>([
    ['one key', { capacity: 1, heads: [1, 1], dims: [1, 1], counts: [1] }],
    ['rows of unequal length, one empty', { capacity: 70, heads: [2, 2], dims: [6, 9], counts: [65, 1, 0, 70] }],
    ['grouped heads, rings, chosen rows', { capacity: 40, heads: [6, 2], dims: [64, 64], counts: [40, 17], starts: [0, 33], rows: [2, 0] }],
    ['more heads than a workgroup serves', { capacity: 33, heads: [12, 1], dims: [16, 20], counts: [33, 31] }],
    ['shares of a long cache', { capacity: 700, heads: [4, 2], dims: [32, 32], counts: [700, 300], starts: [650, 5] }],
    ['wide heads', { capacity: 20, heads: [2, 1], dims: [128, 256], counts: [19] }],
  ])('%s', async (_, { capacity, heads: [heads, kvHeads], dims: [dim, valueDim], counts, starts, rows }) => {
    const batch = rows ? 4 : counts.length;
    const inputs = { q: random(counts.length, heads, dim), k: random(batch, capacity, kvHeads, dim), v: random(batch, capacity, kvHeads, valueDim) };
    await expectNativeAgrees(decodeAttentionOp, inputs, { scale: 0.4, rows, starts, counts }, 1e-5);
  });

  it.each([{ subgroups: true }, { subgroups: true, half: true }])('%j, few keys at a time, in shares', async (form) => {
    const backend = tf.backend() as never;
    allowHalfPrecision(form.half === true);
    const can = canHave(backend, form);
    allowHalfPrecision(false);
    if (!can) return;
    const [q, k, v, counts] = [random(3, 4, 32), random(3, 150, 2, 32), random(3, 150, 2, 20), [150, 70, 0]];
    const rows = rowsOnWebGpu(backend, { cacheRows: [0, 1, 2], counts });
    const y = tf.engine().makeTensorFromTensorInfo(decodeOnWebGpu(backend, { q, k, v, rows }, { heads: 4, scale: 0.4, reach: 150, plan: { share: 64, block: 16, ...form } }));
    setKernelPolicy('portable');
    await expectClose(y, decodeAttentionOp({ q, k, v }, { scale: 0.4, rows: undefined, starts: undefined, counts })[0]!, { atol: form.half ? 4e-3 : 1e-5 });
    setKernelPolicy('auto');
  });
});

describe('rotation in WGSL and portable', () => {
  beforeAll(() => useBackend('webgpu'));

  it.each([false, true])('interleaved %s', async (interleaved) => {
    const [cos, sin] = [random(70, 9), random(70, 9)];
    await expectNativeAgrees(rotaryOp, { x: random(2, 33, 3, 18), cos, sin }, { interleaved, inverse: false, offset: 37 });
    const positions = integerTensor([2, 33], (i) => (i * 11) % 70);
    await expectNativeAgrees(rotaryOp, { x: random(2, 33, 3, 21), cos, sin, positions }, { interleaved, inverse: true, offset: 0 });
  });

  it('of nothing is nothing', async () => {
    const [cos, sin] = [random(3, 2), random(3, 2)];
    const [y] = rotaryOp({ x: tf.zeros([1, 0, 2, 4]), cos, sin }, { interleaved: false, inverse: false, offset: 0 });
    expect([y!.shape, (await y!.data()).length]).toEqual([[1, 0, 2, 4], 0]);
  });
});
