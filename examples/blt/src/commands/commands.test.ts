import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { callCli, fails, ok, runsFolder, spawnCli, TEXT, writeConfigs } from '../testing/run.js';

const { folder, at, bytesOf, steps } = runsFolder();
const configs = writeConfigs(folder);

const shared = (out: string, ...more: string[]) => [...(more.includes('--data') ? [] : ['--data', at('text.txt')]), '--batch', '2', '--length', '48', '--backend', 'wasm', '--eval-every', '3', '--eval-bytes', '96', '--save-every', '2', '--out', at(out), ...more];
const entropy = (...more: string[]) => ['--entropy-model', at('entropy'), ...more];
const train = (out: string, ...more: string[]) => ['train', '--config', configs.blt, ...shared(out, ...more)];

beforeAll(async () => {
  writeFileSync(at('text.txt'), TEXT);
  const { code, stderr } = await callCli('train-entropy', '--config', configs.entropy, ...shared('entropy', '--steps', '4'));
  if (code) throw new Error(stderr);
});

describe('train-entropy', () => {
  it('leaves a model, its configuration, the settings and a log, and goes on from there', async () => {
    expect(readdirSync(at('entropy')).sort()).toEqual(['checkpoint-00000002', 'checkpoint-00000004', 'config.json', 'log.jsonl', 'loss.svg', 'model.safetensors', 'run.json']);
    expect(steps('entropy').map((l) => l.step)).toEqual([1, 2, 3, 4]);
    const { stderr } = await ok('train-entropy', '--resume', '--out', at('entropy'), '--steps', '5');
    expect(stderr).toMatch(/from step 4 to step 5/);
  });
});

describe('train', () => {
  it.each([
    ['windows by entropy', ['--bytes-per-patch', '4', ...entropy()]],
    ['documents by space', ['--patcher', 'space', '--packing', 'documents', '--patches', '12', '--document-bytes', '200', '--buffer', '4']],
  ])('%s: five steps in one go = two, and three more in another process, bit for bit', async (name, options) => {
    const [whole, halves] = [`${name} whole`, `${name} halves`];
    await ok(...train(whole, '--steps', '5', ...options));
    await ok(...train(halves, '--steps', '5', '--stop-at', '2', ...options));
    const second = await spawnCli(['train', '--resume', '--out', at(halves)]);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toMatch(/from step 2 to step 5/);
    for (const file of ['model.safetensors', 'checkpoint-00000005/optimizer.safetensors']) expect(bytesOf(halves, file), file).toBe(bytesOf(whole, file));
    expect(steps(halves).map((l) => [l.step, l.loss, l.lr])).toEqual(steps(whole).map((l) => [l.step, l.loss, l.lr]));
    expect(Object.keys(steps(whole)[0]!)).toEqual(['type', 'step', 'loss', 'crossEntropy', 'bytesPerChunk', 'lr', 'gradNorm', 'bytes', 'bytesPerSecond', 'ms']);
  });

  it('patchers are one option apart', async () => {
    const attained: Record<string, number> = {};
    for (const [name, ...options] of [['strided', '--patch-size', '6'], ['byte']] as const) {
      await ok(...train(name, '--steps', '1', '--patcher', name, ...options, '--eval-every', '0'));
      attained[name] = (steps(name)[0]!.bytesPerChunk as number[])[0]!;
    }
    expect(attained.byte).toBe(1);
    // BOS is a patch, 47 bytes make seven whole ones.
    expect(attained.strided).toBeCloseTo(48 / 8, 5);
  });

  it('takes patches that were prepared, with another threshold than they were made with', async () => {
    mkdirSync(at('corpus'));
    for (const name of ['a.txt', 'b.txt']) writeFileSync(at('corpus', name), TEXT.slice(0, 1500));
    const made = await ok('patch', '--data', at('corpus'), '--entropy-model', at('entropy'), '--threshold', '4', '--out', at('patches'), '--backend', 'wasm', '--json');
    expect(JSON.parse(made.stdout)).toMatchObject({ bytes: 3000, shards: 2, kept: 0 });
    const again = await ok('patch', '--data', at('corpus'), '--entropy-model', at('entropy'), '--threshold', '4', '--out', at('patches'), '--backend', 'wasm', '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({ shards: 2, kept: 2 });
    const documents = ['--packing', 'documents', '--patches', '16', '--data', at('corpus'), '--steps', '2', '--eval-every', '0'];
    for (const [out, threshold] of [['prepared', '5'], ['prepared all', '0']]) await ok(...train(out!, ...documents, ...entropy('--threshold', threshold!), '--prepared', at('patches')));
    await ok(...train('on the way', ...documents, '--documents', 'files', ...entropy('--threshold', '5')));
    const losses = (run: string) => steps(run).map((l) => l.loss);
    expect(losses('prepared')).toEqual(losses('on the way'));
    // With a threshold of 0 every byte is a patch, whatever was stored.
    expect(steps('prepared all')[0]!.bytes).toBe(2 * 15);
  });
});

describe('what the user gets wrong', () => {
  it('options that do not fit', async () => {
    await fails(train('x'), /need a trained entropy model.*--entropy-model DIR/);
    await fails(train('x', '--patcher', 'space', '--threshold', '1'), /--threshold does not belong to patches by space/);
    await fails(train('x', ...entropy('--patch-size', '4')), /--patch-size does not belong to patches by entropy/);
    await fails(train('x', ...entropy('--threshold', '40')), /threshold: expected/);
    await fails(train('x', '--preset', 'huge'), /expected one of them, got both/);
    await fails(['train', '--preset', 'huge', ...shared('x')], /--preset huge: expected one of .*blt-tiny/);
    await fails(train('x', '--patcher', 'space', '--packing', 'documents', '--weights', '1,2'), /--weights: expected 1 \(one for each of --data\), got 2/);
    await fails(['patch', '--data', at('text.txt'), '--calibrate-only'], /expected --bytes-per-patch as well/);
    await fails(['patch', '--data', at('text.txt'), '--patcher', 'space', '--bytes-per-patch', '4'], /patches by space have none/);
    await fails(['patch', '--data', at('text.txt'), '--tokenizer', at('none.json')], /none\.json/);
  });

  it('the wrong kind of model', async () => {
    await fails(['train-entropy', '--config', configs.blt, ...shared('x'), '--resume'], /got --config as well/);
    await fails(['generate', '--model', at('entropy'), '--prompt', 'a'], /this is an entropy model, not a BLT/);
    await fails(['inspect', 'no-such-model'], /no-such-model: expected a folder, a file, a preset or a Hugging Face id/);
  });

  it('damaged patches are made again', async () => {
    const patch = ['patch', '--data', at('text.txt'), '--patcher', 'space', '--out', at('damaged'), '--json'];
    await ok(...patch);
    const shard = at('damaged', 'text.txt.patches', '000000.shard');
    const before = readFileSync(shard);
    writeFileSync(shard, before.subarray(0, before.length - 7));
    await fails(train('y', '--patcher', 'space', '--packing', 'documents', '--prepared', at('damaged'), '--steps', '1', '--eval-every', '0'), /000000\.shard/);
    expect(JSON.parse((await ok(...patch)).stdout)).toMatchObject({ kept: 0 });
    expect(readFileSync(shard).equals(before)).toBe(true);
  });
});

describe('a trained model', () => {
  const model = at('windows by entropy whole');

  it('writes the same text for the same seed, alone and in a batch, with borders where patches begin', async () => {
    const args = ['generate', '--model', model, '--max-bytes', '24', '--temperature', '0', '--json', '--prompt'];
    const [batch, alone] = [JSON.parse((await ok(...args, 'Once upon a time', 'a', 'The sea')).stdout), JSON.parse((await ok(...args, 'The sea')).stdout)] as { rows: { bytes: number[]; chunkStarts: number[][] }[] }[];
    expect(batch!.rows[2]!.bytes).toEqual(alone!.rows[0]!.bytes);
    const { stdout } = await ok('generate', '--model', model, '--max-bytes', '24', '--temperature', '0', '--prompt', 'The sea', '--borders');
    const shown = alone!.rows[0]!.chunkStarts[0]!.filter((i) => i > 0 && i < 7 + 24).length;
    expect(stdout.match(/│/g)?.length ?? 0).toBe(shown);
  });

  it('drafts and takes back: the same text, fewer passes of the main network', async () => {
    type Report = { identical: boolean; lines: { draftLength: number; drafted: number; accepted: number; patches: number; mainPasses: number; texts: string[] }[] };
    const args = ['--model', model, '--prompt', 'The sea', 'Once', '--max-bytes', '24', '--json'];
    const report = JSON.parse((await ok('speculate', ...args, '--draft', '3', '--temperature', '0.8')).stdout) as Report;
    const generated = JSON.parse((await ok('generate', ...args, '--temperature', '0.8')).stdout) as { rows: { text: string }[] };
    const [plain, drafted] = report.lines;
    expect(report.identical).toBe(true);
    // Prompts are continued one by one here, so only the first draws what it draws in a batch.
    expect(plain!.texts[0]).toBe(generated.rows[0]!.text);
    expect(drafted!.texts).toEqual(plain!.texts);
    expect(drafted!.drafted).toBeGreaterThan(0);
    expect(drafted!.mainPasses).toBeLessThanOrEqual(drafted!.patches);
    await fails(['speculate', '--model', model, '--prompt', 'a', '--draft', '0'], /--draft: expected/);
  });

  it('shows its patches with the entropies that made them', async () => {
    const { stdout } = await ok('chunks', '--model', model, 'Two ships', '--json', '--html', at('page.html'));
    const [row] = JSON.parse(stdout) as { bytes: number[]; stages: { p: number[]; b: number[] }[]; curve: { values: (number | null)[]; threshold: number } }[];
    expect(row!.bytes).toEqual([254, ...new TextEncoder().encode('Two ships')]);
    const { values, threshold } = row!.curve;
    expect(values[0]).toBeNull();
    // BOS and the byte behind it always begin a patch; others where the byte was hard to tell.
    expect(row!.stages[0]!.b).toEqual(values.map((v, i) => (i < 2 || v! > threshold ? 1 : 0)));
    expect(readFileSync(at('page.html'), 'utf8')).toContain(`threshold ${threshold.toFixed(3)} nats`);
    const spaced = JSON.parse((await ok('chunks', '--model', model, 'Two ships', '--json', '--no-html', '--patcher', 'space')).stdout) as { stages: { b: number[] }[]; curve?: object }[];
    expect([spaced[0]!.stages[0]!.b, spaced[0]!.curve]).toEqual([[1, 1, 0, 0, 0, 1, 0, 0, 0, 0], undefined]);
  });

  it('scores every byte once; inspect names its tensors', async () => {
    const { stdout } = await ok('evaluate', '--model', model, '--data', at('text.txt'), '--range', '100:300', '--window', '64', '--backend', 'wasm', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ bytes: 200, stride: 32 });
    const report = await ok('inspect', model, '--load');
    expect(report.stdout).toMatch(/encoder_hash_tok_embedding\.1\.weight \(50, 16\)/);
    expect(report.stderr).toMatch(/all values were read and are finite/);
    expect(report.stdout).toMatch(/weights: .*\(entropy model\)/);
  });
});

describe('convert', () => {
  it('to the other layout and back, in half the bytes, with the same text', async () => {
    const model = at('windows by entropy whole');
    await ok('convert', '--model', model, '--out', at('original'));
    expect(existsSync(at('original', 'entropy_model', 'params.json'))).toBe(true);
    await ok('convert', '--model', at('original'), '--out', at('half'), '--format', 'transformers', '--dtype', 'BF16');
    expect(readFileSync(at('half', 'model.safetensors')).length).toBeLessThan(0.6 * readFileSync(join(model, 'model.safetensors')).length);
    const text = async (from: string) => (await ok('generate', '--model', from, '--prompt', 'The', '--temperature', '0', '--max-bytes', '12')).stdout;
    expect(await text(at('original'))).toBe(await text(model));
    const report = await ok('inspect', at('half'), '--load');
    expect(report.stdout).toMatch(/\d+ BF16/);
  });

  it('synth-checkpoint writes what loads; known-answer says that it is not the published model', async () => {
    await ok('synth-checkpoint', '--preset', 'blt-tiny', '--out', at('synth'), '--shard-bytes', '1000000');
    expect(readdirSync(at('synth')).filter((n) => n.endsWith('.safetensors')).length).toBeGreaterThan(2);
    const { stdout } = await ok('known-answer', '--model', at('synth'), '--backend', 'wasm', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, text: { prompt: 'my name is', ok: false } });
    process.exitCode = 0;
  });
});

it('presets need no weights and no backend', async () => {
  const { stdout } = await ok('inspect', 'blt-1b', '--json');
  expect(JSON.parse(stdout)).toMatchObject({ parameters: 4_533_879_808, parts: { 'hash n-grams': 3_072_012_288, 'main network': 1_284_608_000 }, checkpoints: [] });
});

it('claims lists what would run, of the variants and seeds asked for', async () => {
  const given = ['--data', 'x', '--range', '0:10', '--test-range', '10:20', '--tokenizer', 'x', '--entropy-model', 'x', '--runs', at('claims')];
  const { stdout } = await ok('claims', '--list', ...given, '--variants', 'space', 'one patch', '--seeds', '0,1');
  expect(stdout.trim().split('\n').map((line) => line.trim().split(':')[0])).toEqual(['space-0', 'one-patch-0', 'space-1', 'one-patch-1']);
  await fails(['claims', '--list', ...given, '--variants', 'spaces'], /Allowed choices are entropy, space/);
});

it('every sub-command says what it takes', async () => {
  for (const name of ['train-entropy', 'train', 'generate', 'patch', 'chunks', 'evaluate', 'inspect', 'convert', 'known-answer', 'synth-checkpoint', 'claims']) {
    const { code, stdout } = await callCli(name, '--help');
    expect(code).toBe(0);
    for (const part of ['Usage: blt', name === 'synth-checkpoint' ? '--preset' : '--backend', '--seed', 'Examples:']) expect(stdout, name).toContain(part);
  }
});
