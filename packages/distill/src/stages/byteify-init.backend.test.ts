import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { Segmentation, SequenceContext, Rng, type SequenceLM } from '@bytelm/core';
import type { TensorSource } from '@bytelm/core/io';
import { backendsForTest, expectClose, useBackend } from '@bytelm/core/testing';
import { BOLMO_INIT, byteifyInit } from '../index.js';
import { TINY, tinyStudent, tinyTeacher, type TinyShape } from './tiny-models.test-util.js';

/** The parameters of a model as a checkpoint. */
function sourceOf(lm: SequenceLM, without: string[] = []): TensorSource {
  const parameters = new Map([...lm.parameters()].filter(([n]) => !without.includes(n)));
  return {
    name: 'tiny.safetensors',
    names: [...parameters.keys()],
    metadata: {},
    has: (n) => parameters.has(n),
    info: (n) => ({ dtype: 'F32', shape: parameters.get(n)!.shape }),
    read: async (n: string) => ({ dtype: 'float32' as const, shape: [...parameters.get(n)!.shape], values: (await parameters.get(n)!.data()).slice() as Float32Array }),
    close: async () => undefined,
  };
}

const SHAPE: TinyShape = { ...TINY, tokens: 352 };

describe.each(backendsForTest())('byteifyInit on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('copies layers, final norm and table; draws the rest; makes patches look like embeddings', async () => {
    const lm = tinyTeacher(SHAPE, 1);
    const source = sourceOf(lm);
    const table = lm.parameters().get('model.embed_tokens.weight')!;
    table.assign(tf.add(tf.mul(table, 0.3), 0.05));
    const student = tinyStudent(SHAPE);
    const tensors = tf.memory().numTensors;
    const report = await byteifyInit(student, source, { seed: 4 });
    expect(tf.memory().numTensors).toBe(tensors);
    const p = student.parameters();
    expect(report.unused).toEqual(['lm_head.weight']);
    expect(report.copied.sort()).toEqual([...p.keys()].filter((n) => n.startsWith('model.layers.') || n === 'model.norm.weight').sort());
    for (const name of report.copied) await expectClose(p.get(name)!, lm.parameters().get(name)!, { atol: 0, rtol: 0 });
    await expectClose(p.get(BOLMO_INIT.subwords!)!, tf.slice(table, [0, 0], [340, 16]), { atol: 0, rtol: 0 });
    await expectClose(p.get('model.local_encoder.boundary_predictor_module.k_proj_layer.weight')!, tf.eye(16), { atol: 0 });
    await expectClose(p.get('model.local_encoder.layers.0.xlstm.igate_preact.bias')!, [-10, -10], { atol: 0 });
    await expectClose(p.get('model.local_decoder.initial_norm.weight')!, tf.ones([16]), { atol: 0 });
    const largest = async (name: string) => (await tf.max(tf.abs(p.get(name)!)).data())[0]!;
    for (const [name, bound] of [['model.local_decoder.layers.0.mlp.down_proj.weight', 24 ** -0.5], ['model.local_decoder.in_projection.bias', 0.25], ['lm_head.weight', 0.06]] as const) {
      expect(await largest(name)).toBeLessThanOrEqual(bound + 1e-6);
      expect(await largest(name)).toBeGreaterThan(0.6 * bound);
    }
    const bytes = tf.moments(p.get(BOLMO_INIT.bytes)!);
    expect((await bytes.mean.data())[0]!).toBeCloseTo(0.05, 1);
    expect(Math.sqrt((await bytes.variance.data())[0]!)).toBeCloseTo(0.3, 1);

    // Patches of another sample, gates as they were when it was measured.
    p.get('model.local_encoder.layers.0.xlstm.igate_preact.bias')!.assign(tf.zeros([2]));
    const ids = Int32Array.from({ length: 2048 }, (_, i) => 4 + new Rng(i).nextInt(256));
    const ctx = new SequenceContext(8, 256, { ids });
    const { embed, encoder, downsample } = student.parts;
    const everywhere = new Segmentation(8, 256, new Uint8Array(2048).fill(1), { drawnAt: 'end' });
    const patches = tf.moments(tf.reshape(downsample.forward(encoder.forward(embed.forward(tf.tensor2d(ids, [8, 256], 'int32'), ctx), ctx), everywhere, ctx), [2048, 16]), 0);
    const wanted = tf.moments(tf.slice(table, [0, 0], [340, 16]), 0);
    await expectClose(tf.div(tf.sqrt(patches.variance), tf.sqrt(wanted.variance)), tf.ones([16]), { atol: 0.12 });
    await expectClose(patches.mean, wanted.mean, { atol: 0.06 });
    student.dispose();
    lm.dispose();
  });

  it('the same seed gives the same weights', async () => {
    const source = sourceOf(tinyTeacher(SHAPE, 1));
    const [a, b, c] = [tinyStudent(SHAPE), tinyStudent(SHAPE), tinyStudent(SHAPE)];
    const sample = Int32Array.from({ length: 128 }, (_, i) => 4 + (i % 100));
    for (const [student, seed] of [[a, 1], [b, 1], [c, 2]] as const) await byteifyInit(student, source, { seed, sample });
    for (const [name, v] of a.parameters()) await expectClose(b.parameters().get(name)!, v, { atol: 0, rtol: 0, name });
    expect((await tf.max(tf.abs(tf.sub(c.parameters().get('lm_head.weight')!, a.parameters().get('lm_head.weight')!))).data())[0]!).toBeGreaterThan(0);
  });

  it('names what the source lacks', async () => {
    await expect(byteifyInit(tinyStudent(SHAPE), sourceOf(tinyTeacher(SHAPE, 1), ['model.layers.1.mlp.up_proj.weight']))).rejects.toThrow('[byteifyInit] tiny.safetensors: model.layers.1.mlp.up_proj.weight is missing.');
    await expect(byteifyInit(tinyStudent(SHAPE), sourceOf(tinyTeacher({ ...SHAPE, dIntermediate: 32 }, 1)))).rejects.toThrow('model.layers.0.mlp.gate_proj.weight has shape (32, 16), the student\'s (24, 16)');
    await expect(byteifyInit(tinyStudent(SHAPE), sourceOf(tinyTeacher({ ...SHAPE, tokens: 200 }, 1)))).rejects.toThrow('model.embed_tokens.weight has shape (200, 16), the student\'s model.local_encoder.subword_embedding.weight (340, 16)');
  });
});
