import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readLines } from '@bytelm/example-shared/train';
import { temporaryFolder } from '@bytelm/example-shared/testing';
import { runByteify, runCompress } from '../src/index.js';
import { SHORT, toyTeacher, toyText } from './toy-teacher.js';

const folder = temporaryFolder();
const { patches, batch, evalBytes, window, saveEvery, reportBytes, backend } = SHORT;
const short = { patches, batch, evalBytes, window, saveEvery, reportBytes, backend, evalEvery: 0, steps: 4, lr: 1e-3 } as const;

describe('compress', () => {
  const teacher = toyTeacher(join(folder, 'teacher'));
  const data = [toyText(join(folder, 'data'))];
  const model = join(folder, 'model');
  const start = (out: string, more: object = {}) => ({ model, data, target: 4, out: join(folder, out), ...short, ...more });
  const losses = (out: string) => readLines(join(folder, out, 'compress', 'log.jsonl')).flatMap((l) => (l.type === 'step' ? [[l.step, l.loss, l.gradNorm]] : []));
  beforeAll(() => runByteify({ teacher, data, out: model, ...SHORT, stage1Steps: 2, stage2Steps: 1 }));

  it('interrupted and resumed = uninterrupted; labels get fewer on the way', async () => {
    const report = (await runCompress(start('whole')))!;
    expect(report.budget.steps).toBe(4);
    expect(report.after.predicted.folded).not.toBe(report.before.predicted.folded);
    expect(await runCompress(start('parts'), { stopAt: 2 })).toBeUndefined();
    const again = (await runCompress({ out: join(folder, 'parts') }, { resume: true }))!;
    expect(losses('parts')).toEqual(losses('whole'));
    expect(again.after).toEqual(report.after);
    // With as many boundaries in the labels as the tokenizer has, other losses.
    await runCompress(start('hardly', { start: 3.99 }));
    expect(losses('hardly')).not.toEqual(losses('whole'));
  });

  it.each(['entropy', 'cross-entropy'] as const)('by %s of an auxiliary model', async (merge) => {
    const report = (await runCompress(start(merge, { merge, auxiliary: teacher, steps: 2 })))!;
    expect(report.after.predicted.folded).toBeGreaterThan(0);
    expect(losses(merge)).not.toEqual(losses('whole').slice(0, 2));
  });

  it('refuses what contradicts itself', async () => {
    await expect(runCompress(start('a', { target: 1.2 }))).rejects.toThrow(/target: expected more than the \d\.\d\d bytes per patch at the beginning, got 1\.2/);
    await expect(runCompress(start('b', { merge: 'entropy' }))).rejects.toThrow(/merge entropy: expected --auxiliary/);
    await expect(runCompress(start('c', { auxiliary: teacher, bytes: 10 }))).rejects.toThrow(/length: expected its bytes or its steps, got both; merge bpe/);
    await expect(runCompress({ ...start('d'), model: 'bolmo-tiny' })).rejects.toThrow(/expected a byteified model with weights, got a preset/);
  });
});
