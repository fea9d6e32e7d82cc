import { describe, expect, it } from 'vitest';
import { AdamW, trainLoop, type TrainableModel } from '@bytelm/core/train';
import { useBackend } from '@bytelm/core/testing';
import { PUBLISHED_STAGE1, PUBLISHED_STAGE2, Stage1, Stage2, teacherOf, TokenRows, tokensInMemory, type Stage } from '../index.js';
import { TINY, tinyStudent, tinyTeacher, toyVocabulary as vocabulary } from './tiny-models.test-util.js';

const STEPS = 3;
const store = tokensInMemory(Array.from({ length: 120 }, (_, i) => [256, 68, 268, 329, 67, 284, 315, 337][(i * i) % 8]!), vocabulary);
/** All losses there are. */
const whole = { ...PUBLISHED_STAGE2, weights: { ...PUBLISHED_STAGE2.weights, byteDistill: 1 } };
const losses = { ...PUBLISHED_STAGE1, weights: { ...PUBLISHED_STAGE1.weights, byteDistill: 1 } };

/** Total, parts and gradient norm of a few updates of stage 1, then of stage 2 of the same student. */
async function train(backend: 'wasm' | 'webgpu'): Promise<Record<string, number>[]> {
  await useBackend(backend);
  const student = tinyStudent(TINY, 7);
  const teacher = tinyTeacher(TINY, 8);
  const steps: Record<string, number>[] = [];
  for (const stage of [new Stage1(student, teacherOf(teacher), { vocabulary, losses }), new Stage2(student, { losses: whole, teacher: { model: teacherOf(teacher), vocabulary } })] as (Stage<any> & TrainableModel)[]) {
    // Rows of one length: few shaders.
    const batches = new TokenRows(store, { vocabulary, patches: 9, batch: 2, seed: 1, maxBytes: 40 });
    const optimizer = new AdamW(stage.parameterGroups({ mainRate: 0.5 }));
    for await (const e of trainLoop({ model: stage, batches, optimizer, schedule: () => 2e-3, steps: STEPS })) {
      if (e.type === 'step') steps.push({ loss: e.loss, gradNorm: e.gradNorm, ...e.parts });
    }
    optimizer.dispose();
  }
  student.dispose();
  teacher.dispose();
  return steps;
}

describe('stages on webgpu', () => {
  it('lose what they lose on wasm, update by update', async () => {
    const expected = await train('wasm');
    const got = await train('webgpu');
    expect(got).toHaveLength(2 * STEPS);
    for (const [i, step] of expected.entries()) {
      expect(Object.keys(got[i]!)).toEqual(Object.keys(step));
      for (const [name, value] of Object.entries(step)) expect(Math.abs(got[i]![name]! - value), `update ${i}, ${name}: ${got[i]![name]} and ${value}`).toBeLessThan(1e-3 * Math.abs(value) + 1e-5);
    }
    expect(got[STEPS - 1]!.loss).toBeLessThan(got[0]!.loss!);
    expect(Object.keys(got[0]!)).toContain('byteDistill');
    expect(Object.keys(got.at(-1)!)).not.toContain('encoder');
  });
});
