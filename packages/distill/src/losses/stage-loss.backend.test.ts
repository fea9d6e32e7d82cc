import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { gatherRows } from '@bytelm/core';
import { backendsForTest, fixtureRoot, readGolden, toTensor, useBackend } from '@bytelm/core/testing';
import { byteRows, fusedLabels, PAPER_STAGE1, patchesAtBoundaries, PUBLISHED_STAGE1, PUBLISHED_STAGE2, stageLosses, SubwordVocabulary, type StageLossInputs, type TokenizerJson } from '../index.js';

const folder = join(fixtureRoot(), 'bolmo');
const vocabulary = new SubwordVocabulary(JSON.parse(readFileSync(join(folder, 'toy_tokenizer/tokenizer.json'), 'utf8')) as TokenizerJson);

/** What the reference's tiny model and teacher said in stage 1. Of the student's logits only those of the labels are known. */
function published(name: string) {
  const t = readGolden(join(folder, name, 'train_batch_stage1.safetensors'));
  const expected = JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8'));
  const at = (key: string) => toTensor(t.get(key)!);
  const [B, P] = t.get('original_input_ids')!.shape as [number, number];
  const n = t.get('input_ids')!.shape[1]!;
  const tokens = [...t.get('original_input_ids')!.values];
  const rows = byteRows(Array.from({ length: B }, (_, b) => tokens.slice(b * P, (b + 1) * P)), { vocabulary, maxBytes: n });
  const logProbs = t.get('stage1.student_main_logprobs')!.values;
  const logits = new Float32Array(B * n * 520);
  fusedLabels(rows).forEach((y, i) => {
    if (y < 0) return;
    const p = logProbs[Math.floor(i / n) * (n - 1) + (i % n)]!;
    logits.fill(Math.log(-Math.expm1(p) / 519), i * 520, (i + 1) * 520);
    logits[i * 520 + y] = p;
  });
  const inputs: StageLossInputs = {
    rows,
    logits: tf.tensor3d(logits, [B, n, 520]),
    boundaryLogProb: at('stage1.boundary_logprobs') as tf.Tensor2D,
    teacherLogProb: tf.concat([tf.zeros([B, 1]), at('stage1.teacher_main_logprobs')], 1) as tf.Tensor2D,
    encoder: {
      student: at('stage1.student_hidden_after_4') as tf.Tensor3D,
      teacher: gatherRows(at('stage1.teacher_hidden_after_4'), tf.tensor2d(patchesAtBoundaries(rows), [B, P], 'int32')),
    },
  };
  return { inputs, expected };
}
const value = async (t: tf.Tensor) => (await t.data())[0]!;
const near = (actual: number, wanted: number) => expect(Math.abs(actual - wanted) / Math.abs(wanted)).toBeLessThan(1e-5);

describe.each(backendsForTest())('losses of a stage on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(['bolmo_tiny_olmo2', 'bolmo_tiny_olmo3'])('%s: parts and total of the published flags', async (name) => {
    const { inputs, expected } = published(name);
    const parts = stageLosses(inputs, { ...PUBLISHED_STAGE1, debias: false });
    near(await value(parts.boundary!), 4 * expected.stage1_only_boundary.total);
    near(await value(parts.encoder!), expected.stage1_only_local_encoder.total);
    near(await value(parts.crossEntropy!), expected.stage1_only_ce.total);
    const total = await value(Object.values(parts).reduce<tf.Tensor>((a, b) => tf.add(a, b), tf.scalar(0)));
    near(total, expected.stage1_exact_no_debias.total);
  });
});

describe('losses of a stage', () => {
  beforeAll(() => useBackend('cpu'));

  it('the paper\'s form takes plain means; stage 2 needs no teacher', async () => {
    const { inputs, expected } = published('bolmo_tiny_olmo2');
    const paper = stageLosses(inputs, PAPER_STAGE1);
    expect(Object.keys(paper).sort()).toEqual(['boundary', 'crossEntropy', 'distill', 'encoder']);
    near(await value(paper.crossEntropy!), expected.stage1_published_flags.metrics.ce_loss);
    // ‖·‖ over 48 channels, averaged over the student's 55 patches.
    near(await value(paper.encoder!), ((expected.stage1_only_local_encoder.total / 4) * Math.sqrt(48) * 54) / 55);
    const { rows, logits, boundaryLogProb } = inputs;
    expect(Object.keys(stageLosses({ rows, logits, boundaryLogProb: boundaryLogProb! }, PUBLISHED_STAGE2)).sort()).toEqual(['boundary', 'crossEntropy']);
    expect(() => stageLosses({ rows, logits, boundaryLogProb: boundaryLogProb! }, PUBLISHED_STAGE1)).toThrow('[stageLosses] `encoder`: it is missing');
  });
});
