import * as tf from '@tensorflow/tfjs-core';
import { cloneState, disposeState, ResidualStack, Rng, Segmentation, SequenceContext, setKernelPolicy, type Module } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { CrossAttention } from './cross-attention.js';
import { CrossAttentionBlock } from './cross-attention-block.js';
import { CrossAttentionDecoder } from './cross-attention-decoder.js';
import { CrossAttentionPool } from './cross-attention-pool.js';
import { CrossAttentionUnpool } from './cross-attention-unpool.js';

const [D, HEADS, K, DG, L] = [12, 3, 2, 10, 40];

/** Boundaries of three rows: patches of 1 byte, one of 29 and one of 40 − 3 that stays open. */
const MASK = (() => {
  const at = [[0, 1, 2, 6, 7, 12, 13, 20, 26, 27, 33, 39], [0, 1, 30, 31, 32], [0, 2]];
  const mask = new Uint8Array(3 * L);
  at.forEach((list, b) => list.forEach((t) => (mask[b * L + t] = 1)));
  return mask;
})();

/** Weights that are no identity anywhere, norms included. */
function stirred<M extends Module>(module: M): M {
  const rng = new Rng(6);
  for (const [name, p] of module.parameters()) if (name.includes('norm')) tf.tidy(() => p.assign(tf.add(p, rng.normal(p.shape, 0.3))));
  return module;
}

const makePool = (layers = 1) => stirred(new CrossAttentionPool({ dModel: D, numHeads: HEADS, queriesPerChunk: K, layers }, new Rng(3)));
const makeDecoder = () => {
  const block = (i: number) => new CrossAttentionBlock({ dModel: D, numHeads: HEADS, slotsPerChunk: K }, new Rng(10 + i));
  return stirred(new CrossAttentionDecoder(new ResidualStack([block(0), block(1)]), { dMemory: DG, slotsPerChunk: K }, new Rng(4)));
};
const input = (shape: number[], seed = 1) => new Rng(seed).normal(shape) as tf.Tensor3D;
const cut = (x: tf.Tensor3D, from: number, to: number) => tf.slice(x, [0, from, 0], [x.shape[0], to - from, x.shape[2]]);
const position = (x: tf.Tensor3D, b: number, t: number) => tf.reshape(tf.slice(x, [b, t, 0], [1, 1, x.shape[2]]), [1, x.shape[2]]) as tf.Tensor2D;

/** Positions [from, to) of the rows' segmentation, as a piece on top of a state; row b has `lengths[b]` real ones. */
function piece(starts: number[], lengths: number[], width: number): { seg: Segmentation; ctx: SequenceContext } {
  const mask = new Uint8Array(3 * width);
  lengths.forEach((n, b) => mask.set(MASK.subarray(b * L + starts[b]!, b * L + starts[b]! + n), b * width));
  return { seg: new Segmentation(3, width, mask, { drawnAt: 'end', continues: true }), ctx: new SequenceContext(3, width, { lengths }) };
}
const padded = (x: tf.Tensor3D, starts: number[], lengths: number[], width: number) =>
  tf.concat(lengths.map((n, b) => tf.pad(tf.slice(x, [b, starts[b]!, 0], [1, n, x.shape[2]]), [[0, 0], [0, width - n], [0, 0]], 7)), 0) as tf.Tensor3D;

const largest = async (x: tf.Tensor) => (await tf.max(tf.abs(x)).data())[0]!;

/** Index of the boundary that byte t is, in its row. */
const chunkAt = (b: number, t: number) => MASK.subarray(b * L, b * L + t + 1).reduce((n, m) => n + m, 0) - 1;

describe.each(backendsForTest())('cross-attention on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('pools as the general masked form with two residuals', async () => {
    const pool = makePool();
    const x = input([3, L, D]);
    const seg = new Segmentation(3, L, MASK, { drawnAt: 'end' });
    const M = seg.maxChunks;
    const got = pool.forward(x, seg, new SequenceContext(3, L));
    const cross = pool.layers[0]!;
    const ids = await seg.pooledInto().data();
    const pooled = tf.buffer([3, M, D], 'float32', new Float32Array(3 * M * D).fill(-Infinity));
    const values = await x.data();
    for (let i = 0; i < 3 * L; i++) {
      for (let d = 0; d < D && ids[i]! >= 0; d++) {
        const at = (Math.floor(i / L) * M + ids[i]!) * D + d;
        pooled.values[at] = Math.max(pooled.values[at]!, values[i * D + d]!);
      }
    }
    pooled.values.forEach((v, i) => v === -Infinity && (pooled.values[i] = 0));
    const q = tf.reshape(pool.projection.forward(pooled.toTensor()), [3, M * K, D]) as tf.Tensor3D;
    const querySegments = tf.tensor2d(Array.from({ length: 3 }, () => Array.from({ length: M * K }, (_, j) => Math.floor(j / K))), [3, M * K], 'int32');
    const attended = cross.forward(q, x, { querySegments, keySegments: seg.pooledInto() });
    await expectClose(got, tf.reshape(tf.add(tf.add(q, q), attended), [3, M, K * D]), { atol: 2e-5 });
  });

  it('decodes as the general masked form with two residuals', async () => {
    const decoder = makeDecoder();
    const x = input([3, L, D]);
    const seg = new Segmentation(3, L, MASK, { drawnAt: 'end' });
    const chunks = input([3, seg.maxChunks, DG], 2);
    const got = decoder.forward(x, new SequenceContext(3, L, { memory: { chunks, segmentation: seg } }));
    const slots = tf.reshape(decoder.projection.forward(chunks), [3, seg.maxChunks * K, D]) as tf.Tensor3D;
    const keySegments = tf.tensor2d(Array.from({ length: 3 }, () => Array.from({ length: seg.maxChunks * K }, (_, j) => Math.floor(j / K))), [3, seg.maxChunks * K], 'int32');
    const stack = decoder.inner as ResidualStack;
    let y: tf.Tensor3D = x;
    for (const block of stack.blocks as CrossAttentionBlock[]) {
      y = tf.add(tf.add(y, y), block.attention.forward(y, slots, { querySegments: seg.visibleChunk(), keySegments }));
    }
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(y), -1, true), 1e-5));
    await expectClose(got, tf.mul(tf.mul(y, scale), stack.normWeight!), { atol: 5e-5 });
  });

  it.each([1, 2])('pooling byte by byte and piece by piece equals the full pass, %i layers', async (layers) => {
    const pool = makePool(layers);
    const x = input([3, L, layers * D]);
    const seg = new Segmentation(3, L, MASK, { drawnAt: 'end' });
    const full = pool.forward(x, seg, new SequenceContext(3, L));
    let state = pool.initState(3);
    const at = [0, 0, 0];
    const check = async (chunk: tf.Tensor2D, b: number, t: number) => expectClose(chunk, position(full, b, chunkAt(b, t)), { atol: 3e-5, name: `row ${b}, patch at ${t}` });
    for (const lengths of [[3, 1, 0], [2, 9, 1], [1, 1, 7], [0, 5, 3]]) {
      const width = Math.max(...lengths) + 1;
      const { seg: part, ctx } = piece(at, lengths, width);
      const out = pool.prefill(padded(x, at, lengths, width), part, state, ctx);
      state = out.state;
      for (let b = 0; b < 3; b++)
        for (let t = 0, j = 0; t < lengths[b]!; t++) if (MASK[b * L + at[b]! + t]) await check(position(out.chunks, b, j++), b, at[b]! + t);
      lengths.forEach((n, b) => (at[b]! += n));
    }
    for (let n = 0; at.some((t) => t < L); n++) {
      const rows = [0, 1, 2].filter((b) => at[b]! < L && n % 4 !== b);
      if (!rows.length) continue;
      const boundary = Uint8Array.from(rows, (b) => MASK[b * L + at[b]!]!);
      const out = pool.step(tf.concat(rows.map((b) => position(x, b, at[b]!)), 0), { boundary }, state, rows.length === 3 ? undefined : rows);
      state = out.state;
      const fired = rows.filter((_, i) => boundary[i]);
      expect(out.chunks?.shape ?? [0, pool.dOut]).toEqual([fired.length, pool.dOut]);
      for (const [i, b] of fired.entries()) await check(tf.slice(out.chunks!, [i, 0], [1, pool.dOut]), b, at[b]!);
      for (const b of rows) at[b]!++;
    }
  });

  it('decoding byte by byte and piece by piece equals the full pass', async () => {
    const decoder = makeDecoder();
    const x = input([3, L, D]);
    const seg = new Segmentation(3, L, MASK, { drawnAt: 'end' });
    const chunks = input([3, seg.maxChunks, DG], 2);
    const full = decoder.forward(x, new SequenceContext(3, L, { memory: { chunks, segmentation: seg } }));
    let state = decoder.initState(3);
    const at = [0, 0, 0];
    for (const lengths of [[3, 0, 2], [1, 9, 0], [2, 5, 7], [0, 1, 3]]) {
      const width = Math.max(...lengths) + 2;
      const { seg: part, ctx } = piece(at, lengths, width);
      const before = at.map((t, b) => (t ? chunkAt(b, t - 1) + 1 : 0));
      const own = tf.concat(before.map((from, b) => tf.pad(tf.slice(chunks, [b, from, 0], [1, part.numChunks[b]!, DG]), [[0, 0], [0, part.maxChunks - part.numChunks[b]!], [0, 0]], 5)), 0) as tf.Tensor3D;
      const out = await decoder.prefill(padded(x, at, lengths, width), state, ctx.with({ memory: { chunks: own, segmentation: part } }));
      state = out.state;
      for (let b = 0; b < 3; b++) {
        const n = lengths[b]!;
        if (n) await expectClose(tf.slice(out.y, [b, 0, 0], [1, n, D]), tf.slice(full, [b, at[b]!, 0], [1, n, D]), { atol: 5e-5, name: `row ${b} from ${at[b]}` });
        at[b]! += n;
      }
    }
    for (let n = 0; at.some((t) => t < L); n++) {
      const rows = [0, 1, 2].filter((b) => at[b]! < L && n % 4 !== b);
      if (!rows.length) continue;
      const fired = rows.filter((b) => MASK[b * L + at[b]!]);
      if (fired.length) state = decoder.remember(tf.concat(fired.map((b) => position(chunks, b, chunkAt(b, at[b]!))), 0), state, fired);
      const out = await decoder.step(tf.concat(rows.map((b) => position(x, b, at[b]!)), 0), state, rows.length === 3 ? undefined : rows);
      state = out.state;
      await expectClose(out.y, tf.concat(rows.map((b) => position(full, b, at[b]!)), 0), { atol: 5e-5, name: `positions ${rows.map((b) => at[b])} of rows ${rows}` });
      for (const b of rows) at[b]!++;
    }
  });

  it('a byte that sees no chunk gets zeros, a row in which a document starts sees none', async () => {
    const block = stirred(new CrossAttentionBlock({ dModel: D, numHeads: HEADS, slotsPerChunk: K }, new Rng(1)));
    const hidden = input([2, D]) as unknown as tf.Tensor2D;
    const residual = input([2, D], 2) as unknown as tf.Tensor2D;
    const sum = tf.add(hidden, residual);
    const remembered = block.remember(input([2, K * D], 3) as unknown as tf.Tensor2D, block.initState(2), [0, 1]);
    const out = block.step({ hidden, residual }, block.startDocument(remembered, [1]));
    await expectClose(tf.slice(out.hidden, [1, 0], [1, D]), tf.slice(sum, [1, 0], [1, D]), { atol: 1e-6 });
    expect(await largest(tf.sub(tf.slice(out.hidden, [0, 0], [1, D]), tf.slice(sum, [0, 0], [1, D])))).toBeGreaterThan(0.05);
  });

  it('a patch drawn at its first byte holds none of an earlier document; while stepping likewise', async () => {
    const pool = makePool();
    const x = input([1, 9, D]);
    // Documents of 5 and 4 bytes; bytes 3 and 4 stand behind the last boundary of the first.
    const mask = Uint8Array.from([1, 0, 1, 0, 0, 1, 0, 1, 0]);
    const documentIds = Int32Array.from([0, 0, 0, 0, 0, 1, 1, 1, 1]);
    const whole = pool.forward(x, new Segmentation(1, 9, mask, { drawnAt: 'start' }), new SequenceContext(1, 9, { documentIds }));
    const second = pool.forward(cut(x, 5, 9), new Segmentation(1, 4, mask.slice(5), { drawnAt: 'start' }), new SequenceContext(1, 4));
    await expectClose(cut(whole, 2, 4), second, { atol: 1e-5 });
    let state = pool.initState(1);
    for (let t = 0, j = 0; t < 9; t++) {
      if (t === 5) state = pool.startDocument(state, [0]);
      const out = pool.step(position(x, 0, t), { boundary: mask.slice(t, t + 1) }, state);
      state = out.state;
      if (out.chunks) await expectClose(out.chunks, position(whole, 0, j++), { atol: 2e-5, name: `chunk at ${t}` });
    }
    // In pieces: the second document's first chunk does not join what the first left open.
    const cuts = [0, 4, 9];
    state = pool.initState(1);
    const parts = cuts.slice(1).map((to, i) => {
      const from = cuts[i]!;
      const ctx = new SequenceContext(1, to - from, { documentIds: documentIds.slice(from, to) });
      const out = pool.prefill(cut(x, from, to), new Segmentation(1, to - from, mask.slice(from, to), { drawnAt: 'start', continues: true }), state, ctx);
      state = out.state;
      return out.chunks;
    });
    await expectClose(tf.concat(parts, 1), whole, { atol: 2e-5 });
  });

  it('passes on what the encoder showed last', async () => {
    const x = input([2, 5, 3 * D]);
    const last = tf.slice(x, [0, 0, 2 * D], [2, 5, D]);
    const up = new CrossAttentionUnpool({ dModel: D, layers: 3 });
    const main = tf.zeros([2, 2, DG]) as tf.Tensor3D;
    await expectClose(up.forward(main, x), last);
    await expectClose(up.prefill(main, x).y, last);
    await expectClose(up.step(undefined, tf.reshape(cut(x, 1, 2), [2, 3 * D])).y, tf.reshape(cut(last, 1, 2), [2, D]));
    const one = new CrossAttentionUnpool({ dModel: 3 * D }).forward(main, x);
    expect(one).not.toBe(x);
    await expectClose(one, x);
  });

  it('padding and the batch change nothing', async () => {
    const [pool, decoder] = [makePool(), makeDecoder()];
    const x = input([3, L, D]);
    const lengths = [23, 40, 2];
    const { seg, ctx } = piece([0, 0, 0], lengths, L);
    const pooled = pool.forward(x, seg, ctx);
    const chunks = input([3, seg.maxChunks, DG], 5);
    const y = decoder.forward(x, ctx.with({ memory: { chunks, segmentation: seg } }));
    for (const [b, n] of lengths.entries()) {
      const alone = new Segmentation(1, n, MASK.slice(b * L, b * L + n), { drawnAt: 'end' });
      const row = tf.slice(x, [b, 0, 0], [1, n, D]);
      const M = alone.numChunks[0]!;
      await expectClose(tf.slice(pooled, [b, 0, 0], [1, M, K * D]), pool.forward(row, alone, new SequenceContext(1, n)), { atol: 1e-5 });
      const memory = { chunks: tf.slice(chunks, [b, 0, 0], [1, M, DG]), segmentation: alone };
      await expectClose(tf.slice(y, [b, 0, 0], [1, n, D]), decoder.forward(row, new SequenceContext(1, n, { memory })), { atol: 1e-5 });
    }
    expect(await largest(tf.slice(pooled, [2, 1, 0], [1, seg.maxChunks - 1, K * D]))).toBe(0);
  });

  it('has the gradients of finite differences', async () => {
    const samples = backend === 'webgpu' ? 2 : 5;
    const pool = makePool(2);
    const mask = Uint8Array.from([1, 0, 1, 0, 0, 1, 0]);
    const seg = new Segmentation(1, 7, mask, { drawnAt: 'end' });
    const ctx = new SequenceContext(1, 7);
    await checkGradients((x) => pool.forward(x as tf.Tensor3D, seg, ctx), [input([1, 7, 2 * D])], { samples, eps: 3e-3, names: ['encoded'] });
    const decoder = makeDecoder();
    await checkGradients(
      (x, chunks) => decoder.forward(x as tf.Tensor3D, ctx.with({ memory: { chunks: chunks as tf.Tensor3D, segmentation: seg } })),
      [input([1, 7, D], 2), input([1, 3, DG], 3)],
      { samples, names: ['x', 'chunks'] },
    );
    for (const model of [pool, decoder] as const) {
      const variables = [...model.parameters().values()];
      const run = () => (model === pool ? pool.forward(input([1, 7, 2 * D]), seg, ctx) : decoder.forward(input([1, 7, D]), ctx.with({ memory: { chunks: input([1, 3, DG]), segmentation: seg } })));
      const { grads } = tf.variableGrads(() => tf.sum(tf.sin(run())) as tf.Scalar, variables);
      for (const v of variables) expect(await largest(grads[v.name]!)).toBeGreaterThan(0);
    }
  });

  it('steps agree with the portable form, for few rows and many, and states can be copied', async () => {
    const [pool, decoder] = [makePool(2), makeDecoder()];
    const B = 6;
    const x = input([B, 12, 2 * D]);
    const run = (policy: 'auto' | 'portable') => {
      setKernelPolicy(policy);
      let [pooling, decoding] = [pool.initState(B), decoder.initState(B) as { layers: unknown[] }];
      const seen: tf.Tensor[] = [];
      for (let t = 0; t < 12; t++) {
        const rows = [undefined, [1, 3, 4, 5], [0], [2, 5]][t % 4];
        const list = rows ?? [0, 1, 2, 3, 4, 5];
        const now = tf.gather(tf.reshape(tf.slice(x, [0, t, 0], [B, 1, 2 * D]), [B, 2 * D]), list) as tf.Tensor2D;
        const boundary = Uint8Array.from(list, (b) => Number((b + t) % 3 === 0));
        if (t === 7) [pooling, decoding] = [cloneState(pooling), cloneState(decoding)];
        const down = pool.step(now, { boundary }, pooling, rows);
        pooling = down.state;
        if (down.chunks) {
          seen.push(tf.reshape(down.chunks, [-1]));
          decoding = decoder.remember(tf.slice(down.chunks, [0, 0], [down.chunks.shape[0], DG]), decoding, list.filter((_, i) => boundary[i])) as typeof decoding;
        }
        const out = decoder.step(tf.slice(now, [0, 0], [list.length, D]), decoding, rows) as { y: tf.Tensor2D; state: typeof decoding };
        decoding = out.state;
        seen.push(tf.reshape(out.y, [-1]));
      }
      setKernelPolicy('auto');
      return tf.concat(seen);
    };
    await expectClose(run('auto'), run('portable'), { atol: 5e-5 });
  });

  it('leaks nothing in passes, prompts and steps', async () => {
    const [pool, decoder] = [makePool(), makeDecoder()];
    const x = input([3, L, D]);
    const chunks = input([3, 12, DG]);
    const run = async () => {
      const { seg, ctx } = piece([0, 0, 0], [20, 20, 20], L);
      const memory = { chunks: cut(chunks, 0, seg.maxChunks), segmentation: seg };
      let pooled = pool.prefill(x, seg, pool.initState(3), ctx);
      let decoded = await decoder.prefill(x, decoder.initState(3), ctx.with({ memory }));
      tf.dispose([pooled.chunks, decoded.y, memory.chunks]);
      const one = tf.ones([2, D]) as tf.Tensor2D;
      for (let t = 0; t < 20; t++) {
        const down = pool.step(one, { boundary: Uint8Array.from([Number(t % 5 === 0), 0]) }, pooled.state, [0, 2]);
        down.chunks?.dispose();
        pooled = { ...pooled, state: t === 10 ? pool.startDocument(down.state, [0]) : down.state };
        const memory = tf.ones([1, DG]) as tf.Tensor2D;
        const state = t % 5 === 0 ? decoder.remember(memory, decoded.state, [2]) : decoded.state;
        const out = await decoder.step(one, t === 10 ? decoder.startDocument(state, [0]) : state, [0, 2]);
        decoded = { ...decoded, state: out.state };
        tf.dispose([out.y, memory]);
      }
      one.dispose();
      disposeState([pooled.state, decoded.state]);
      seg.dispose();
      ctx.dispose();
    };
    await run();
    await expectNoLeak(run);
    await expectNoLeak(() => {
      const { seg, ctx } = piece([0, 0, 0], [L, L, L], L);
      const pooled = pool.forward(x, seg, ctx);
      const memory = { chunks: cut(chunks, 0, seg.maxChunks), segmentation: seg };
      tf.dispose([pooled, decoder.forward(x, ctx.with({ memory })), memory.chunks]);
      seg.dispose();
      ctx.dispose();
    });
    await expectNoLeak(() => tf.dispose([makePool(2), makeDecoder()].forEach((m) => m.dispose()) as never));
  });
});

describe('cross-attention refuses', () => {
  beforeAll(() => useBackend('cpu'));
  const block = () => new CrossAttentionBlock({ dModel: 4, numHeads: 2, slotsPerChunk: 1 });
  it.each([
    ['heads that do not divide the width', () => new CrossAttention({ dModel: 10, numHeads: 4 }), /numHeads 4 does not divide dModel 10/],
    ['no queries, no layers', () => new CrossAttentionPool({ dModel: 4, numHeads: 2, queriesPerChunk: 0, layers: 0 }), /queriesPerChunk: .*got 0; layers: .*got 0/],
    ['names that nobody publishes', () => new CrossAttention({ dModel: 4, numHeads: 2, names: 'olmo' as never }), /names: expected one of meta, llama .*"olmo"/],
    ['a decoder whose layers attend to nothing', () => new CrossAttentionDecoder({ dModel: 4 } as never, { dMemory: 4, slotsPerChunk: 1 }), /no layer of the inner model attends/],
    ['a pass without memory', () => block().forward({ hidden: tf.zeros([1, 2, 4]) }, new SequenceContext(1, 2)), /ctx\.memory` is missing/],
    ['chunks of another width', () => block().remember(tf.zeros([1, 5]), block().initState(1), [0]), /\(1, 5\)/],
    ['inputs of another width', () => new CrossAttentionPool({ dModel: 4, numHeads: 2, queriesPerChunk: 2, layers: 2 }).forward(tf.zeros([1, 1, 4]), new Segmentation(1, 1, Uint8Array.of(1)), new SequenceContext(1, 1)), /\(1, 1, 8\)/],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(message);
  });
});
