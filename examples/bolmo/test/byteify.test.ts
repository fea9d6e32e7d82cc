import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '@bytelm/core/io';
import { fixtureRoot } from '@bytelm/core/testing';
import { readJsonFile } from '@bytelm/example-shared/model';
import { readLines } from '@bytelm/example-shared/train';
import { temporaryFolder } from '@bytelm/example-shared/testing';
import { bolmoConfigOf, findBolmo, loadBolmo, publishedRates, runByteify, type ByteifyReport } from '../src/index.js';
import { SHORT, toyTeacher, toyText } from './toy-teacher.js';

const folder = temporaryFolder();
const teacher = toyTeacher(join(folder, 'teacher'));
const data = [toyText(join(folder, 'data'))];
const start = (out: string, more: object = {}) => ({ teacher, data, out: join(folder, out), ...SHORT, ...more });

/** Every tensor of a safetensors file. */
async function tensorsOf(path: string): Promise<Map<string, number[]>> {
  const file = await openSafetensors(path);
  const out = new Map<string, number[]>();
  for (const name of file.names) out.set(name, [...(await file.read(name)).values]);
  await file.close();
  return out;
}
const model = (out: string, stage = '') => join(folder, out, stage, 'model.safetensors');
const losses = (out: string, stage: string) => readLines(join(folder, out, stage, 'log.jsonl')).flatMap((l) => (l.type === 'step' ? [[l.step, l.loss, l.gradNorm, l.bytes]] : []));

describe('byteify', () => {
  let whole: ByteifyReport;

  it('stage 1, stage 2, report: a model that loads, and numbers that fit together', async () => {
    whole = (await runByteify(start('whole')))!;
    const { student, afterStage1, budget, heldOut } = whole;
    expect([budget.stage1!.steps, budget.stage2.steps]).toEqual([6, 5]);
    expect(budget.stage1!.bytes).toBe(losses('whole', 'stage1').reduce((n, l) => n + Number(l[3]), 0));
    expect(budget.shareOfTeacher).toBeNull();
    // An untrained teacher's bits per byte are a student's of about the same size: all likelihoods are of the same text.
    for (const score of [afterStage1!, student]) {
      expect(score.trueBoundaries.folded).toBeLessThan(score.trueBoundaries.joint);
      expect(score.predicted.folded).toBeLessThanOrEqual(score.predicted.joint);
      expect(score.boundaries.accuracy).toBeGreaterThan(0);
      expect(score.bytesPerPatch.tokenizer).toBeGreaterThan(1);
    }
    expect(heldOut.bytes).toBeGreaterThan(100);
    expect(readJsonFile(join(folder, 'whole', 'report.json'))).toEqual(JSON.parse(JSON.stringify(whole)));
    for (const stage of ['stage1', 'stage2']) expect(existsSync(join(folder, 'whole', stage, 'loss.svg')), stage).toBe(true);
    const steps = readLines(join(folder, 'whole', 'stage1', 'log.jsonl')).filter((l) => l.type === 'step');
    for (const part of ['boundary', 'encoder', 'distill', 'crossEntropy']) expect(steps[0], part).toHaveProperty(part);
    expect(Number(steps.at(-1)!.crossEntropy)).toBeLessThan(Number(steps[0]!.crossEntropy));

    const loaded = await loadBolmo(await findBolmo(join(folder, 'whole')));
    expect(loaded.numParameters).toBe(whole.parameters);
    loaded.dispose();
    expect(await tensorsOf(model('whole'))).toEqual(await tensorsOf(model('whole', 'stage2')));
  });

  it('stage 1 leaves the main network as the teacher has it, stage 2 moves it', async () => {
    const [own, one, two] = [await tensorsOf(join(teacher, 'model.safetensors')), await tensorsOf(model('whole', 'stage1')), await tensorsOf(model('whole', 'stage2'))];
    const layers = [...own.keys()].filter((n) => n.startsWith('model.layers.'));
    expect(layers.length).toBeGreaterThan(10);
    for (const name of layers) {
      expect(one.get(name), name).toEqual(own.get(name));
      expect(two.get(name), name).not.toEqual(own.get(name));
    }
    expect(one.get('lm_head.weight')).not.toEqual(two.get('lm_head.weight'));
  });

  it('stopped in a stage and between them, and resumed = uninterrupted, bit for bit', async () => {
    // Within stage 1, right behind it, within stage 2.
    expect(await runByteify(start('parts'), { stopAt: 3 })).toBeUndefined();
    for (const stopAt of [6, 9]) {
      expect(await runByteify({ out: join(folder, 'parts') }, { resume: true, stopAt })).toBeUndefined();
      expect(existsSync(join(folder, 'parts', 'stage2')), `stopped at ${stopAt}`).toBe(stopAt > 6);
    }
    const report = (await runByteify({ out: join(folder, 'parts') }, { resume: true }))!;
    for (const stage of ['stage1', 'stage2']) {
      expect(losses('parts', stage), stage).toEqual(losses('whole', stage));
      expect(await tensorsOf(model('parts', stage)), stage).toEqual(await tensorsOf(model('whole', stage)));
    }
    expect(report.student).toEqual(whole.student);
    expect(report.budget.stage2.bytes).toBe(whole.budget.stage2.bytes);
  });

  it('accumulates, and a run that is complete says what it said', async () => {
    const report = (await runByteify(start('accumulated', { accumulate: 2, stage1Steps: 2, stage2Steps: 1, inputGateBias: -2 })))!;
    const bias = (await tensorsOf(model('accumulated'))).get('model.local_encoder.layers.0.xlstm.igate_preact.bias')!;
    for (const b of bias) expect(Math.abs(b + 2)).toBeLessThan(0.1);
    expect(report.budget.stage1!.bytes).toBeGreaterThan(2 * 2 * 2 * 16);
    expect(await runByteify({ out: join(folder, 'accumulated') }, { resume: true })).toEqual(JSON.parse(JSON.stringify(report)));
    await expect(runByteify(start('accumulated'))).rejects.toThrow(/accumulated: it already holds a run\. Hint: --resume/);
    await expect(runByteify({ out: join(folder, 'nothing') }, { resume: true })).rejects.toThrow(/expected the file of an earlier run/);
  });

  it('without stage 1 its FLOPs go to stage 2', async () => {
    const report = (await runByteify(start('control', { skipStage1: true })))!;
    const { flopsPerByte: flops } = readJsonFile(join(folder, 'control', 'byteify.json')) as { flopsPerByte: { stage1: number; stage2: number } };
    expect(report.budget.stage1).toBeNull();
    expect(report.afterStage1).toBeNull();
    expect(existsSync(join(folder, 'control', 'stage1'))).toBe(false);
    expect(report.budget.stage2.steps).toBe(5 + Math.round((6 * flops.stage1) / flops.stage2));
    // The teacher, and byte models forward and back, against everything forward and back.
    expect(flops.stage1).toBeLessThan(flops.stage2);
    expect(flops.stage1).toBeGreaterThan(flops.stage2 / 3);
  });

  it('a budget is a share of what the teacher has seen', async () => {
    const report = (await runByteify(start('shares', { stage1Steps: null, stage2Steps: null, teacherBytes: 1200, skipStage1: false })))!;
    const used = report.budget.stage1!.bytes + report.budget.stage2.bytes;
    expect(report.budget.shareOfTeacher).toBeCloseTo(used / 1200, 10);
    expect(report.budget.shareOfTeacher!).toBeLessThan(0.6);
  });

  it('a loss that is not finite stops it, and what was saved stays', async () => {
    await expect(runByteify(start('broken', { stage1Lr: 1e30, warmup: 0 }))).rejects.toMatchObject({ code: 'numeric', message: expect.stringContaining('[trainLoop] step 2') });
    expect(readFileSync(join(folder, 'broken', 'byteify.json'), 'utf8')).toContain('1e+30');
  });
});

describe('the student of a teacher', () => {
  const published = (name: string) => readJsonFile(join(fixtureRoot(), 'bolmo', name, 'config.json')) as Record<string, unknown>;
  const source = (name: string) => readJsonFile(join(fixtureRoot(), 'bolmo', name, 'teacher', 'config.json')) as Record<string, unknown>;

  it.each(['bolmo_tiny_olmo2', 'bolmo_tiny_olmo3'])('%s has the configuration that was published with it', (name) => {
    const wanted = published(name);
    const made = bolmoConfigOf(source(name), { subwords: 340, decoderLayers: wanted.num_local_decoder_layers as number, numHeads: wanted.num_local_heads as number, dIntermediate: wanted.local_intermediate_size as number });
    const keys = ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads', 'intermediate_size', 'layer_types', 'rms_norm_eps', 'rope_theta', 'local_rms_norm_eps', 'num_local_encoder_layers', 'num_local_decoder_layers', 'num_local_heads', 'vocab_size', 'subword_vocab_size', 'boundary_threshold', 'model_type', 'bos_token_id', 'eos_token_id', 'pad_token_id'];
    for (const key of keys) expect([key, made[key]]).toEqual([key, wanted[key]]);
    if ((wanted.layer_types as string[]).includes('sliding_attention')) expect(made.sliding_window).toBe(wanted.sliding_window);
  });

  it('sizes follow from the width', () => {
    const config = source('bolmo_tiny_olmo2');
    expect(bolmoConfigOf({ ...config, hidden_size: 2048, num_attention_heads: 16, num_key_value_heads: 16 }, { subwords: 9 })).toMatchObject({ num_local_heads: 16, local_intermediate_size: 2816, num_local_decoder_layers: 4 });
    expect(bolmoConfigOf({ ...config, hidden_size: 192 }, { subwords: 9 })).toMatchObject({ num_local_heads: 2, local_intermediate_size: 264 });
    expect(() => bolmoConfigOf(config, { subwords: 9, numHeads: 5 })).toThrow(/expected a divisor of half the width \(48 \/ 2\), got 5/);
    // Both published sizes, and on to small ones.
    expect(publishedRates(2048)).toEqual({ stage1: 7e-4, stage2: 5.2e-5 });
    expect(publishedRates(4096)).toEqual({ stage1: 4.9e-4, stage2: 3.7e-5 });
    expect(publishedRates(128)).toEqual({ stage1: 2.8e-3, stage2: 2.1e-4 });
  });

  it('llama: norms in front, rotary scaling taken over', () => {
    const config = bolmoConfigOf({ ...source('bolmo_tiny_olmo2'), model_type: 'llama', rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 } }, { subwords: 9 });
    expect(config).toMatchObject({ block_type: 'default', layer_types: Array(5).fill('full_attention'), rope_scaling: { factor: 8 } });
  });
});

describe('what cannot be byteified', () => {
  const fails = (name: string, teacherFolder: string, text = data, more: object = {}) => runByteify({ ...start(`fails-${name}`, more), teacher: teacherFolder, data: text });

  it('a tokenizer that cannot spell every byte', async () => {
    const broken = toyTeacher(join(folder, 'no-byte'), { tokenizer: (json) => delete (json.model as { vocab: Record<string, number> }).vocab.Q });
    await expect(fails('byte', broken)).rejects.toThrow(/no-byte.tokenizer\.json: expected an entry for each of the 256 bytes, got none for 1 of them \(0x51\)/);
  });

  it('a teacher with fewer rows than its tokenizer has tokens', async () => {
    const small = toyTeacher(join(folder, 'small'), { config: (json) => (json.vocab_size = 300) });
    await expect(fails('rows', small)).rejects.toThrow(/small gives logits for 300 tokens, .*tokenizer\.json has 340/);
  });

  it('a tokenizer without a token that ends documents', async () => {
    const endless = toyTeacher(join(folder, 'endless'), { settings: (json) => (json.eos_token = '<|nothing|>') });
    await expect(fails('end', endless)).rejects.toThrow(/endless.tokenizer\.json: expected a token that ends documents/);
  });

  it('text that its tokens do not say, and text that is no UTF-8', async () => {
    const lower = toyTeacher(join(folder, 'lower'), { tokenizer: (json) => (json.normalizer = { type: 'Lowercase' }) });
    await expect(fails('text', lower)).rejects.toThrow(/lower.tokenizer\.json: the tokens do not say what the text says, from byte 0 on: text "The old/);
    const binary = join(folder, 'binary.txt');
    writeFileSync(binary, Uint8Array.from({ length: 2000 }, (_, i) => (i % 100 === 50 ? 0xff : 0x61)));
    await expect(fails('binary', teacher, [binary])).rejects.toThrow(/binary\.txt: expected UTF-8, got other bytes/);
  });

  it('settings that contradict each other, all at once', async () => {
    await expect(fails('settings', teacher, [], { stage1Bytes: 5, patches: 1, warmup: 1 })).rejects.toThrow(/stage 1: expected its bytes or its steps, got both.*data: expected at least one.*patches: expected a whole number from 2, got 1.*warmup/);
    await expect(fails('width', teacher, data, { localHeads: 7 })).rejects.toThrow(/expected a divisor of half the width/);
  });
});
