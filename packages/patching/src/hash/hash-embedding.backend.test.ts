import { join } from 'node:path';
import { setKernelPolicy, type KernelPolicy } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, fixtureRoot, readGolden, toTensor, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hashEmbedding, type HashEmbeddingTables } from './hash-embedding.js';
import { hashNgramIds } from './hash-ngrams.js';

let seed = 0;
const random = (...shape: number[]) => tf.randomUniform(shape, -1, 1, 'float32', ++seed);
const integers = (shape: number[], f: (i: number) => number) => tf.tensor(Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => f(i)), shape, 'int32');

/** T tables of V rows; repeated indices, indices at both ends, and one outside. */
function makeCase(B: number, L: number, D: number, T: number, V: number, pieces = 1) {
  const ids = integers([B, L], (i) => (i * i) % 11);
  const buckets = integers([T, B, L], (i) => (i % 9 === 4 ? V - 1 : i % 7 === 3 ? 0 : (i * 31) % V));
  const rows = Math.ceil(V / pieces);
  const tables = Array.from({ length: T }, () => Array.from({ length: pieces }, (_, p) => random(Math.min(rows, V - p * rows), D)));
  return { ids, buckets, bytes: random(11, D), tables };
}
const list = ({ bytes, tables }: HashEmbeddingTables) => [bytes, ...tables.flat()];
const regroup = (xs: tf.Tensor[], like: HashEmbeddingTables): HashEmbeddingTables => {
  let next = 1;
  return { bytes: xs[0]!, tables: like.tables.map((t) => [t].flat().map(() => xs[next++]!)) };
};

const shapes: Record<string, [B: number, L: number, D: number, T: number, V: number, pieces?: number]> = {
  'one position': [1, 1, 1, 1, 2],
  'odd width': [2, 7, 13, 3, 19],
  'more tables than one dispatch binds': [1, 33, 6, 8, 5],
  'pieces': [2, 17, 9, 2, 23, 4],
  'several workgroups': [2, 150, 5, 2, 40],
  'wide': [1, 20, 130, 2, 300],
};

describe.each(backendsForTest())('hash embedding on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(() => setKernelPolicy('auto'));
  const policies: KernelPolicy[] = backend === 'webgpu' ? ['portable'] : ['portable', 'naive'];

  it.each(Object.entries(shapes))('implementations and gradients agree: %s', async (_, shape) => {
    const c = makeCase(...shape);
    const inputs = list(c);
    await expectNoLeak(async () => {
      const run = (policy: KernelPolicy): tf.Tensor[] => {
        setKernelPolicy(policy);
        return tf.tidy(() => {
          const f = (...xs: tf.Tensor[]) => hashEmbedding(c.ids, c.buckets, regroup(xs, c));
          const y = f(...inputs);
          const w = tf.randomUniform(y.shape, -1, 1, 'float32', 5);
          return [y, ...tf.grads((...xs) => tf.sum(tf.mul(f(...xs), w)))(inputs)];
        });
      };
      const kernels = run('auto');
      for (const policy of policies) {
        const others = run(policy);
        for (const [i, expected] of others.entries()) await expectClose(kernels[i]!, expected, { atol: 1e-5, rtol: 1e-5, name: `${policy}, tensor ${i}` });
        tf.dispose(others);
      }
      tf.dispose(kernels);
    });
    tf.dispose([c.ids, c.buckets, ...inputs]);
  });

  it('gradients equal finite differences', async () => {
    const c = makeCase(1, 6, 3, 2, 7, 2);
    await checkGradients((...xs) => hashEmbedding(c.ids, c.buckets, regroup(xs, c)), list(c));
    tf.dispose([c.ids, c.buckets, ...list(c)]);
  });

  it('an index outside its table adds nothing, and gets no gradient', async () => {
    const tables = [tf.ones([3, 2])];
    const bytes = tf.ones([2, 2]);
    const ids = integers([1, 3], () => 1);
    const buckets = integers([1, 1, 3], (i) => [-1, 3, 2][i]!);
    await expectClose(hashEmbedding(ids, buckets, { bytes, tables }), Float32Array.of(1, 1, 1, 1, 2, 2));
    await expectClose(tf.grad((t) => tf.sum(hashEmbedding(ids, buckets, { bytes, tables: [t] })))(tables[0]!), Float32Array.of(0, 0, 0, 0, 1, 1));
  });

  it('golden case blt/hash/embedding_sum', async () => {
    const golden = readGolden(join(fixtureRoot(), 'blt/hash/embedding_sum.safetensors'));
    const at = (name: string) => toTensor(golden.get(name)!);
    await expectNoLeak(async () => {
      const [ids, bytes, fused, upstream] = ['ids', 'byte_table', 'hash_table', 'upstream'].map(at) as [tf.Tensor2D, tf.Tensor, tf.Tensor, tf.Tensor];
      const buckets = hashNgramIds(ids, { sizes: [2, 3, 8], numFunctions: 2, vocabularySize: 53 });
      expect([...(await buckets.data())]).toEqual([...golden.get('buckets')!.values]);
      const forward = (b: tf.Tensor, f: tf.Tensor) => hashEmbedding(ids, buckets, { bytes: b, tables: tf.split(f, 6) });
      const y = tf.tidy(() => forward(bytes, fused));
      await expectClose(y, golden.get('output')!.values, { atol: 1e-5, rtol: 0 });
      const [gb, gf] = tf.grads((b, f) => tf.sum(tf.mul(forward(b!, f!), upstream)))([bytes, fused]);
      await expectClose(gb!, golden.get('grad_byte_table')!.values, { atol: 1e-5, rtol: 0 });
      await expectClose(gf!, golden.get('grad_hash_table')!.values, { atol: 1e-5, rtol: 0 });
      tf.dispose([ids, bytes, fused, upstream, buckets, y, gb!, gf!]);
    });
  });

  it('says which shape is wrong', () => {
    const c = makeCase(1, 4, 3, 2, 7);
    expect(() => hashEmbedding(c.ids, c.buckets, { bytes: c.bytes, tables: [tf.ones([7, 3]), tf.ones([7, 4])] })).toThrow('[hashEmbedding] `tables[1]`: expected shape (rows, D) = (rows, 3), got (7, 4).');
    expect(() => hashEmbedding(c.ids, c.buckets, { bytes: c.bytes, tables: [tf.ones([7, 3])] })).toThrow('[hashEmbedding] `buckets`: expected shape (T, B, L) = (1, 1, 4), got (2, 1, 4).');
  });
});
