// Stages 1 and 2 of two tiny models made of packages alone, against what the published training code says; on every backend the golden
// cases do that with the model of examples/bolmo.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import '@bytelm/core/train';
import { maxError, readGolden, useBackend } from '@bytelm/core/testing';
import { batchOf, byteRows, PUBLISHED_STAGE1, Stage1, Stage2, teacherOf, type Stage, type StageLossConfig } from '../index.js';
import { publishedPair, toyVocabulary } from './tiny-models.test-util.js';

const W = PUBLISHED_STAGE1.weights;
const NONE = { boundary: 0, encoder: 0, distill: 0, crossEntropy: 0 };
/** Runs of the case: flags, and the weight that single parts have there. */
const RUNS: [run: string, flags: StageLossConfig][] = [
  ['stage1_published_flags', PUBLISHED_STAGE1],
  ['stage1_exact_no_debias', { ...PUBLISHED_STAGE1, debias: false }],
  ['stage1_only_local_encoder', { ...PUBLISHED_STAGE1, weights: { ...NONE, encoder: W.encoder } }],
  ['stage1_only_ce', { ...PUBLISHED_STAGE1, weights: { ...NONE, crossEntropy: 1 } }],
  ['stage1_only_local_decoder', { ...PUBLISHED_STAGE1, weights: { ...NONE, distill: 1 } }],
  ['stage1_only_boundary', { ...PUBLISHED_STAGE1, weights: { ...NONE, boundary: 1 } }],
];
const PREFIX: Record<string, string> = { stage1_published_flags: 'stage1', stage1_exact_no_debias: 'stage1_exact', stage2_published_flags: 'stage2' };

type Golden = ReturnType<typeof readGolden>;

function batchFrom(golden: Golden) {
  const tokens = golden.get('original_input_ids');
  const [B, n] = golden.get('input_ids')!.shape as [number, number];
  if (!tokens) return { B, n };
  const P = tokens.shape[1]!;
  return { B, n, rows: byteRows(Array.from({ length: B }, (_, b) => tokens.values.slice(b * P, (b + 1) * P)), { vocabulary: toyVocabulary, maxBytes: n }) };
}

const relative = (a: number, b: number) => Math.abs(a - b) / Math.abs(b);

async function checkRun(stage: Stage<never>, golden: Golden, rows: ReturnType<typeof byteRows>, run: string, expected: any): Promise<number> {
  const { loss, parts, grads } = await stage.lossAndGrads(batchOf(rows));
  expect(relative((await loss.data())[0]!, expected.total)).toBeLessThan(1e-5);
  if ('boundaryAccuracy' in parts) {
    expect(parts.boundaryAccuracy).toBeCloseTo(expected.metrics.boundary_acc, 5);
    expect(parts.boundaryPrecision).toBeCloseTo(expected.metrics.boundary_precision, 5);
    expect(parts.boundaryRecall).toBeCloseTo(expected.metrics.boundary_recall, 5);
    // In stage 1 the reference counts the boundaries it was given.
    if (run.startsWith('stage2')) expect(1 / (parts.bytesPerPatch as number)).toBeCloseTo(expected.metrics.boundary_mean, 5);
  }
  const norms = Object.entries(expected.grad_norms as Record<string, number>);
  expect(norms.length).toBeGreaterThan(4);
  for (const [name, norm] of norms) expect(`${name} ${relative((await tf.norm(grads.get(name)!).data())[0]!, norm) < 1e-3}`).toBe(`${name} true`);
  let compared = 0;
  for (const [key, g] of golden) {
    const name = key.split('.grad.')[1];
    if (!name || key.split('.')[0] !== (PREFIX[run] ?? run)) continue;
    const largest = Math.max(...Array.from(g.values, Math.abs));
    expect(maxError(await grads.get(name)!.data(), g.values) / largest).toBeLessThan(1e-3);
    compared++;
  }
  tf.dispose([loss, ...Object.values(parts).filter((p) => typeof p !== 'number'), ...grads.values()]);
  return compared;
}

describe('published stages', () => {
  beforeAll(() => useBackend('wasm'));

  describe.each(['bolmo_tiny_olmo2', 'bolmo_tiny_olmo3'])('%s', (name) => {
    it('stage 1: totals, boundary scores, gradients of every trained tensor', async () => {
      const { student, teacher, folder } = publishedPair(name);
      const golden = readGolden(join(folder, 'train_batch_stage1.safetensors'));
      const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
      const { rows } = batchFrom(golden);
      let compared = 0;
      for (const [run, losses] of RUNS) {
        const stage = new Stage1(student, teacherOf(teacher), { vocabulary: toyVocabulary, losses });
        expect([...stage.trainable().keys()].filter((n) => n.startsWith('model.layers.'))).toEqual([]);
        compared += await checkRun(stage as never, golden, rows!, run, expected[run]);
      }
      expect(compared).toBe([...golden.keys()].filter((k) => k.includes('.grad.')).length);
      student.dispose();
      teacher.dispose();
    });

    it('stage 2: boundaries as predicted, all parameters', async () => {
      const { student, folder } = publishedPair(name);
      const golden = readGolden(join(folder, 'train_batch_stage2.safetensors'));
      const stage1 = batchFrom(readGolden(join(folder, 'train_batch_stage1.safetensors')));
      expect([...stage1.rows!.ids]).toEqual([...golden.get('input_ids')!.values]);
      const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')).stage2_published_flags;
      const compared = await checkRun(new Stage2(student) as never, golden, stage1.rows!, 'stage2_published_flags', expected);
      expect(compared).toBe([...golden.keys()].filter((k) => k.includes('.grad.')).length);
      student.dispose();
    });
  });
});
