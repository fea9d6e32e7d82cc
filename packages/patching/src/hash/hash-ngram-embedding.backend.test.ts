import { cloneState, Rng, SequenceContext } from '@bytelm/core';
import { openSafetensors, serializeSafetensors } from '@bytelm/core/io';
import { backendsForTest, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { HashNgramEmbedding } from './hash-ngram-embedding.js';
import { resolveConfig, type HashNgramEmbeddingConfig } from './embedding-config.js';

const config: HashNgramEmbeddingConfig = { dModel: 6, vocabSize: 20, sizes: [3, 5, 2], numFunctions: 2, vocabularySize: 31 };
const [B, L, D] = [3, 13, 6];
const values = Int32Array.from({ length: B * L }, (_, i) => (i * i * 7 + i) % 20);
const context = (ids = values, length = L, lengths?: number[]) => new SequenceContext(B, length, { ids, lengths });
const tensorOf = (ids: Int32Array, length: number) => tf.tensor2d(ids, [ids.length / length, length], 'int32');
const cut = (from: number, to: number) => Int32Array.from({ length: B * (to - from) }, (_, i) => values[Math.floor(i / (to - from)) * L + from + (i % (to - from))]!);

/** The same embedding with its tables on the host, read from a checkpoint in memory. */
async function onHost(embed: HashNgramEmbedding, keep: 'file' | 'memory'): Promise<HashNgramEmbedding> {
  const host = new HashNgramEmbedding({ ...config, storage: 'host' });
  host.weight.assign(embed.weight);
  await host.loadTables(await openSafetensors(await serializeSafetensors(embed.parameters())), { keep });
  return host;
}

describe.each(backendsForTest())('HashNgramEmbedding on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const embed = () => new HashNgramEmbedding(config, new Rng(3));

  it('has the published names and initial values', async () => {
    const e = embed();
    expect([...e.parameters()].map(([n, v]) => `${n} ${v.shape.join('x')}`)).toEqual([
      'local_encoder.tok_embeddings.weight 20x6',
      ...[0, 1, 2, 3, 4, 5].map((t) => `encoder_hash_tok_embedding.${t}.weight 31x6`),
    ]);
    const all = (await tf.tidy(() => tf.concat(e.tables.flat().map((t) => tf.reshape(t, [-1])))).data()) as Float32Array;
    const std = Math.sqrt(all.reduce((s, v) => s + v * v, 0) / all.length);
    expect(std * Math.sqrt(D)).toBeCloseTo(0.987, 1);
    expect(all.every((v) => Math.abs(v) <= 3 / Math.sqrt(D))).toBe(true);
    e.dispose();
  });

  it('equals the definition, with or without ids in the context', async () => {
    const e = embed();
    const ids = tensorOf(values, L);
    const y = e.forward(ids, context());
    expect(y.shape).toEqual([B, L, D]);
    const [bytes, ...tables] = await Promise.all([...e.parameters().values()].map((v) => v.data()));
    const primes = [1000000007n, 5915587277n];
    const expected = new Float32Array(B * L * D);
    for (let i = 0; i < B * L; i++) {
      const add = (row: ArrayLike<number>, at: number) => { for (let d = 0; d < D; d++) expected[i * D + d]! += row[at * D + d]!; };
      add(bytes!, values[i]!);
      primes.forEach((p, f) =>
        config.sizes.forEach((n, s) => {
          let h = 0n;
          for (let j = 0; j < n; j++) if ((i % L) - n + 1 + j >= 0) h += BigInt(values[i - n + 1 + j]!) * p ** BigInt(j);
          add(tables[f * 3 + s]!, Number(((BigInt.asIntN(64, h) % 31n) + 31n) % 31n));
        }),
      );
    }
    await expectClose(y, expected, { atol: 1e-6 });
    const plain = e.forward(ids, new SequenceContext(B, L));
    await expectClose(plain, expected, { atol: 1e-6 });
    tf.dispose([ids, y, plain]);
    e.dispose();
  });

  it.each(['device', 'file', 'memory'] as const)('prefill in pieces and steps of some rows equal one pass, tables in %s', async (where) => {
    const device = embed();
    const e = where === 'device' ? device : await onHost(device, where);
    const full = tf.tidy(() => device.forward(tensorOf(values, L), context()));
    const expected = await full.data();
    const rowOf = (b: number, t: number) => expected.subarray((b * L + t) * D, (b * L + t + 1) * D);
    await expectNoLeak(async () => {
      const run = (ids: Int32Array<ArrayBuffer>, length: number, state: ReturnType<typeof e.initState>, lengths?: number[]) => {
        const x = tensorOf(ids, length);
        const out = e.prefill(x, state, context(ids, length, lengths));
        x.dispose();
        return out;
      };
      let { y, state } = run(cut(0, 2), 2, e.initState(B));
      y.dispose();
      // Rows of different length: row 0 takes nothing, row 1 one byte, row 2 all three.
      ({ y, state } = run(cut(2, 5), 3, state, [0, 1, 3]));
      const last = tf.slice(y, [2, 0, 0], [1, 3, D]);
      await expectClose(last, expected.subarray((2 * L + 2) * D, (2 * L + 5) * D), { atol: 1e-6 });
      tf.dispose([y, last]);
      const position = [2, 3, 5];
      const before = cloneState(state);
      for (const rows of [[0], [0, 1], [2], [0, 1, 2], [1, 2], [0]]) {
        const out = e.step(Int32Array.from(rows, (b) => values[b * L + position[b]!]!), state, rows);
        state = out.state;
        await expectClose(out.y, Float32Array.from(rows.flatMap((b) => [...rowOf(b, position[b]!)])), { atol: 1e-6, name: `rows ${rows}` });
        out.y.dispose();
        for (const b of rows) position[b]!++;
      }
      expect(before).not.toEqual(state);
      const all = e.step(Int32Array.from(position, (t, b) => values[b * L + t]!), state);
      await expectClose(all.y, Float32Array.from(position.flatMap((t, b) => [...rowOf(b, t)])), { atol: 1e-6 });
      all.y.dispose();
    });
    full.dispose();
    device.dispose();
    e.dispose();
  });

  it('gradients of every table, and nothing leaks', async () => {
    const e = embed();
    const ids = tensorOf(values, L);
    const variables = [...e.parameters().values()];
    await expectNoLeak(() => {
      const { value, grads } = tf.variableGrads(() => tf.sum(tf.square(e.forward(ids, context()))) as tf.Scalar, variables);
      expect(Object.keys(grads).length).toBe(7);
      tf.dispose([value, ...Object.values(grads)]);
    });
    ids.dispose();
    e.dispose();
  });

  it('works with sizes of one byte only, which need no state', async () => {
    const e = new HashNgramEmbedding({ dModel: 2, vocabSize: 20, sizes: [1], vocabularySize: 20 }, new Rng(1));
    const out = tf.tidy(() => tf.concat([0, 1].map((i) => e.step(values.subarray(i, i + 1), e.initState(1)).y)));
    const full = tf.tidy(() => tf.reshape(e.forward(tensorOf(values.slice(0, 2), 2), new SequenceContext(1, 2, { ids: values.slice(0, 2) })), [2, 2]));
    await expectClose(out, full);
    tf.dispose([out, full]);
    e.dispose();
  });

  it('cuts tables where one tensor would be more than the backend binds', () => {
    const { pieceRows } = resolveConfig({ dModel: 1024, sizes: [3], vocabularySize: 500002 });
    if (backend !== 'webgpu') return expect(pieceRows).toBe(500002);
    const { limits } = (tf.backend() as unknown as { device: GPUDevice }).device;
    expect(pieceRows).toBe(Math.min(500002, Math.floor(limits.maxStorageBufferBindingSize / 4096)));
    expect(pieceRows).toBeLessThan(500002);
  });

  it('refuses to train tables on the host', async () => {
    const device = embed();
    const e = await onHost(device, 'memory');
    const ids = tensorOf(values, L);
    const w = tf.variable(tf.ones([D]));
    const y = () => tf.sum(tf.mul(e.forward(ids, context()), w)) as tf.Scalar;
    expect(() => tf.variableGrads(y, [e.weight])).toThrow("[HashNgramEmbedding] tables with storage 'host' are not trainable, but a gradient of the embedding was asked for.");
    expect(Object.keys(tf.variableGrads(y, [w]).grads)).toEqual([w.name]);
    tf.dispose([ids, w]);
    device.dispose();
    e.dispose();
  });

  it('refuses ids that it has no row for', () => {
    const e = embed();
    const bad = values.slice();
    bad[L + 4] = 20;
    expect(() => tf.tidy(() => e.forward(tensorOf(bad, L), context(bad)))).toThrow('[HashNgramEmbedding] id 20 at row 1, position 4: expected 0..19.');
    expect(() => tf.tidy(() => e.prefill(tensorOf(bad, L), e.initState(B), context(bad)).y)).toThrow('id 20 at row 1, position 4');
    expect(() => e.step(Int32Array.of(0, -1, 2), e.initState(B))).toThrow('id -1 at row 1, position 0');
    e.dispose();
  });

  it('gradients equal finite differences, tables in pieces', async () => {
    const e = new HashNgramEmbedding({ dModel: 2, vocabSize: 20, sizes: [2], vocabularySize: 5, maxTableBytes: 24 }, new Rng(5));
    expect([...e.parameters().keys()].slice(1)).toEqual(['encoder_hash_tok_embedding.0.weight.0', 'encoder_hash_tok_embedding.0.weight.1']);
    const ids = tensorOf(values.slice(0, 8), 8);
    const ctx = new SequenceContext(1, 8, { ids: values.slice(0, 8) });
    const w = tf.randomUniform([1, 8, 2], -1, 1, 'float32', 4);
    const loss = () => tf.tidy(() => tf.sum(tf.mul(e.forward(ids, ctx), w)) as tf.Scalar);
    const { grads } = tf.variableGrads(loss, [...e.parameters().values()]);
    let seen = 0;
    for (const [name, v] of e.parameters()) {
      const [host, g] = [Float32Array.from(await v.data()), await grads[v.name]!.data()];
      for (let i = 0; i < host.length; i += 3) {
        const at = async (d: number) => {
          const moved = tf.tensor(Float32Array.from(host, (x, j) => (j === i ? x + d : x)), v.shape);
          v.assign(moved);
          return (await loss().data())[0]!;
        };
        expect((await at(0.5)) - (await at(-0.5)), `${name}[${i}]`).toBeCloseTo(g[i]!, 4);
        if (g[i] !== 0) seen++;
      }
      v.assign(tf.tensor(host, v.shape));
    }
    expect(seen).toBeGreaterThan(4);
    e.dispose();
  });
});
