// H-Net and BLT as students of a subword model: their heads emit no boundaries, so patches are compared by their bytes alone.
import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { Embedding, HierarchicalLM, LinearHead, ResidualStack, Rng, SequenceContext, Segmentation, type HierarchicalLMParts } from '@bytelm/core';
import '@bytelm/core/train';
import { backendsForTest, useBackend } from '@bytelm/core/testing';
import { ChunkLayer, DeChunkLayer, RoutingModule } from '@bytelm/dynamic-chunking';
import { CrossAttentionBlock, CrossAttentionDecoder, CrossAttentionPool, CrossAttentionUnpool, LatentTransformer, TransformerBlock } from '@bytelm/latent-transformer';
import { SpacePatcher } from '@bytelm/patching';
import { batchOf, byteRows, exactDistillLoss, labelLogProbs, PAPER_STAGE1, Stage1, Stage2, teacherOf, tokenLogLikelihoods, type StudentVocabulary } from '../index.js';
import { TINY, tinyTeacher, toyVocabulary as vocabulary } from './tiny-models.test-util.js';

const D = TINY.dModel;
const HNET: StudentVocabulary = { offset: 0, bos: 254, eos: 254, pad: 255, numIds: 256 };
const BLT: StudentVocabulary = { offset: 4, bos: 1, eos: 2, pad: 0, numIds: 260 };
const TOKENS = [[256, 68, 268, 329, 67, 284, 315, 0], [284, 268, 67]];

const block = (rng: Rng) => new TransformerBlock({ dModel: D, numHeads: 2, dIntermediate: 24 }, rng);
const stack = (seed: number, final = true) => new ResidualStack([block(new Rng(seed))], { names: { norm: final && 'norm' } });
const main = (seed: number, dInput = D) => new LatentTransformer({ dModel: D, dInput, numLayers: 2, numHeads: 2, dIntermediate: 24 }, new Rng(seed));
const ends = ({ vocabSize, dModel }: { vocabSize: number; dModel: number }) => ({ embed: new Embedding({ vocabSize, dModel }, new Rng(1)), head: new LinearHead({ vocabSize, dModel, initStd: 0.3 }, new Rng(2)) });

function hnet(): HierarchicalLM {
  const parts: HierarchicalLMParts = { ...ends({ vocabSize: 256, dModel: D }), encoder: stack(3), chunker: new RoutingModule({ dModel: D }), downsample: new ChunkLayer(), main: main(4), upsample: new DeChunkLayer({ dModel: D }, new Rng(5)), decoder: stack(6) };
  return new HierarchicalLM(parts);
}

function blt(): HierarchicalLM {
  const cross = { dModel: D, numHeads: 2, slotsPerChunk: 2 };
  const decoder = new ResidualStack([new CrossAttentionBlock(cross, new Rng(7)), block(new Rng(8))], { names: { norm: 'norm' } });
  const parts: HierarchicalLMParts = {
    ...ends({ vocabSize: 260, dModel: D }),
    encoder: stack(3, false),
    chunker: new SpacePatcher(),
    downsample: new CrossAttentionPool({ dModel: D, numHeads: 2, queriesPerChunk: 2 }, new Rng(9)),
    main: main(4, 2 * D),
    upsample: new CrossAttentionUnpool({ dModel: D }),
    decoder: new CrossAttentionDecoder(decoder, { dMemory: D, slotsPerChunk: 2 }, new Rng(10)),
  };
  return new HierarchicalLM(parts);
}

describe.each(backendsForTest())('students without boundaries in their output on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const read = async (t: tf.Tensor) => (await t.data())[0]!;

  it.each([
    ['H-Net', hnet, HNET, PAPER_STAGE1],
    ['BLT', blt, BLT, { ...PAPER_STAGE1, weights: { ...PAPER_STAGE1.weights, boundary: 0 } }],
  ] as const)('%s: stage 1 trains all but the main network, stage 2 everything', async (_, make, student, losses) => {
    const model = make();
    const teacher = teacherOf(tinyTeacher(TINY, 11));
    const rows = byteRows(TOKENS, { vocabulary, student });
    const stage = new Stage1(model, teacher, { vocabulary, losses, bytesOnly: true, encoderBlocks: 1 });
    const out = await stage.lossAndGrads(batchOf(rows));
    expect(Object.keys(out.parts)).toEqual(expect.arrayContaining(['encoder', 'distill', 'crossEntropy']));
    expect(await read(out.loss)).toBeGreaterThan(0);
    const inBlocks = new Set((model.parts.main as LatentTransformer).stack.parameters().values());
    for (const [name, v] of model.parameters()) expect([name, stage.trainable().has(name)]).toEqual([name, !inBlocks.has(v)]);
    for (const [name, g] of out.grads) expect([name, Number.isFinite(await read(tf.sum(g)))]).toEqual([name, true]);
    if (make === blt) expect(await read(tf.max(tf.abs(out.grads.get('backbone.main.token_embedding_projection.weight')!)))).toBeGreaterThan(0);

    const second = await new Stage2(model, { losses: { ...losses, weights: { ...losses.weights, encoder: 0, distill: 0 } }, bytesOnly: true }).lossAndGrads(batchOf(rows));
    expect([...second.grads.keys()].some((n) => n.startsWith('backbone.main'))).toBe(true);
    model.dispose();
  });

  it('compares the likelihood of a patch\'s bytes with that of its token; with its own main network where it is told to', async () => {
    const model = hnet();
    const teacher = teacherOf(tinyTeacher(TINY, 12));
    const rows = byteRows([TOKENS[0]!], { vocabulary, student: HNET });
    const losses = { ...PAPER_STAGE1, weights: { boundary: 0, encoder: 0, distill: 1, crossEntropy: 0 } };
    const out = await new Stage1(model, teacher, { vocabulary, losses, bytesOnly: true, oracle: false }).lossAndGrads(batchOf(rows));
    const seg = new Segmentation(1, rows.length, rows.boundaryLabels, { drawnAt: 'end' });
    const each = await labelLogProbs(model.forward(new SequenceContext(1, rows.length, { ids: rows.ids, plan: [seg] })), tf.tensor2d(rows.labels, [1, rows.length], 'int32')).data();
    const patches = new Float32Array(rows.patches);
    for (let t = 0; t + 1 < rows.length; t++) patches[rows.patchIds[t + 1]!]! += each[t]!;
    const { logits } = teacher.read(rows.teacherIds, { batch: 1, length: rows.patches }, { logits: true });
    const said = tokenLogLikelihoods(logits!, tf.tensor2d(rows.teacherIds, [1, rows.patches], 'int32'));
    const mask = tf.tensor2d(Float32Array.from(rows.patchMask, (m, p) => (p ? m : 0)), [1, rows.patches]);
    const expected = exactDistillLoss(tf.tensor2d(patches, [1, rows.patches]), { teacher: said, mask, divergence: 'crossEntropy' });
    expect((await read(out.loss)) / (await read(expected))).toBeCloseTo(1, 4);
    expect([...out.grads.keys()].some((n) => n.startsWith('backbone.main'))).toBe(true);
    model.dispose();
  });
});
