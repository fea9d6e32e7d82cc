import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ByteLM } from '../contracts/index.js';
import type { SequenceContext } from '../contracts/sequence-context.js';
import { backendsForTest, expectNoLeak, useBackend } from '../testing/index.js';
import { bitsPerByte } from './bits-per-byte.js';

/** logits[v] of a position = weight of (how many ids were seen before it, own id, v): context is visible in the score. */
const logit = (seen: number, id: number, v: number) => Math.sin(1 + 0.37 * seen + 1.3 * id + 2.1 * v);
const V = 12;
const BOS = 11;

/** A language model whose prediction depends on the number of ids before it and on the last one; its state counts them. */
const counting: ByteLM<{ seen: number }> = {
  vocabSize: V,
  parameters: () => new Map(),
  dispose: () => {},
  logits: (ids, ctx) => rows(ids, ctx, 0),
  initState: () => ({ seen: 0 }),
  prefill: (ids, state, ctx) => ({ logits: rows(ids, ctx, state.seen), state: { seen: state.seen + ctx.length } }),
  step: () => {
    throw new Error('not used');
  },
};

function rows(ids: Int32Array, { batch, length }: SequenceContext, seen: number): tf.Tensor3D {
  const out = new Float32Array(batch * length * V);
  ids.forEach((id, i) => {
    for (let v = 0; v < V; v++) out[i * V + v] = logit(seen + (i % length), id, v);
  });
  return tf.tensor3d(out, [batch, length, V]);
}

const nll = (seen: number, id: number, target: number): number => {
  let sum = 0;
  for (let v = 0; v < V; v++) sum += Math.exp(logit(seen, id, v));
  return Math.log(sum) - logit(seen, id, target);
};

/** The rule of the specification, byte by byte: `start` is where the window of byte t begins. */
function expected(bytes: Uint8Array, startOf: (t: number) => number, bos: number | null): { nats: number; bytes: number } {
  let nats = 0;
  let n = 0;
  bytes.forEach((b, t) => {
    if (t === 0 && bos === null) return;
    const start = startOf(t);
    const seen = bos === null && start === 0 ? t - 1 : t - start;
    const id = t === start ? (bos ?? bytes[t - 1]!) : bytes[t - 1]!;
    nats += nll(seen, id, b);
    n++;
  });
  return { nats, bytes: n };
}

const text = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * i + 3 * i) % 10);

describe.each(backendsForTest())('bitsPerByte on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('is 8 for uniform predictions over 256 ids', async () => {
    const uniform: ByteLM = { ...counting, vocabSize: 256, logits: (_, { batch, length }) => tf.zeros([batch, length, 256]) as tf.Tensor3D };
    const report = await bitsPerByte(uniform, 'zwölf', { mode: 'chunked', window: 4, bos: 254 });
    expect(report.bitsPerByte).toBeCloseTo(8, 10);
    expect(report.bytes).toBe(6);
  });

  it.each([BOS, null])('gives each byte the context its mode names (BOS %s)', async (bos) => {
    const bytes = text(37);
    const check = async (options: object, startOf: (t: number) => number) => {
      const got = await bitsPerByte(counting, bytes, { bos, batch: 3, ...options });
      const want = expected(bytes, startOf, bos);
      expect(got.bytes).toBe(want.bytes);
      expect(Math.abs(got.nats - want.nats)).toBeLessThan(1e-5);
    };
    await check({ mode: 'chunked', window: 8 }, (t) => t - (t % 8));
    await check({ mode: 'sliding', window: 8, stride: 3 }, (t) => (t < 8 ? 0 : 3 * Math.ceil((t - 7) / 3)));
    await check({ mode: 'sliding', window: 8 }, (t) => (t < 8 ? 0 : 4 * Math.ceil((t - 7) / 4)));
    await check({ mode: 'stateful', window: 8 }, () => 0);
    await check({ mode: 'chunked', window: 64 }, () => 0);
  });

  it('sums documents, does not average them', async () => {
    const documents = [text(5), text(0), text(23)];
    const report = await bitsPerByte(counting, documents, { mode: 'chunked', window: 4, bos: BOS });
    expect(report.documents.map((d) => d.bytes)).toEqual([5, 0, 23]);
    const nats = report.documents.reduce((s, d) => s + d.nats, 0);
    expect(report.bitsPerByte).toBeCloseTo(nats / (28 * Math.LN2), 10);
    const alone = await bitsPerByte(counting, documents[2]!, { mode: 'chunked', window: 4, bos: BOS });
    expect(report.documents[2]!.nats).toBeCloseTo(alone.nats, 8);
  });

  it('scores every byte once, whatever the sizes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 60 }), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), fc.boolean(), async (n, window, stride, hasBos) => {
        const options = { window, stride: Math.min(stride, window), batch: 4, bos: hasBos ? BOS : null };
        const report = await bitsPerByte(counting, text(n), options);
        expect(report.bytes).toBe(hasBos ? n : n - 1);
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  it('reports progress and leaks nothing', async () => {
    const seen: number[] = [];
    await expectNoLeak(async () => {
      for (const mode of ['chunked', 'sliding', 'stateful'] as const) {
        await bitsPerByte(counting, text(30), { mode, window: 6, bos: BOS, batch: 2, onProgress: ({ bytes, total }) => seen.push(bytes / total) });
      }
    });
    expect(seen.filter((s) => s === 1)).toHaveLength(3);
  });

  it('refuses nothing to score, contradictions, and scores that are not finite', async () => {
    await expect(bitsPerByte(counting, ['', ''], { bos: BOS })).rejects.toThrow(/\[bitsPerByte\] expected text to score, got 2 documents without any/);
    await expect(bitsPerByte(counting, 'a', { bos: null })).rejects.toThrow(/without BOS needs at least two bytes/);
    await expect(bitsPerByte(counting, 'a', { window: 4, stride: 5, bos: BOS })).rejects.toThrow(/stride: expected at most the window \(4\), got 5/);
    const broken: ByteLM = { ...counting, logits: (_, { batch, length }) => tf.fill([batch, length, V], NaN) as tf.Tensor3D };
    await expect(bitsPerByte(broken, text(3), { bos: BOS })).rejects.toThrow(/byte 0 of document 0: −ln p is NaN/);
  });
});
