import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { initBackend, Rng } from '@bytelm/core';
import { saveSafetensors, stateDict } from '@bytelm/core/io';
import { saveModel } from './checkpoint.js';
import { createHNet } from './model.js';
import { callCli, fails, SMALL, temporaryFolder, TEXT, writeJson } from './testing/run.js';

const folder = temporaryFolder();
const good = join(folder, 'good');
const text = join(folder, 'text.txt');

beforeAll(async () => {
  await initBackend('wasm');
  writeFileSync(text, TEXT);
  mkdirSync(good);
  const model = createHNet(SMALL, { rng: new Rng(1) });
  await saveModel(good, model, SMALL);
  model.dispose();
});

/** A folder with the good model but for one thing. */
async function spoiled(name: string, spoil: (tensors: Map<string, tf.Tensor>) => void): Promise<string> {
  const at = join(folder, name);
  mkdirSync(at);
  writeJson(at, 'config.json', SMALL);
  const model = createHNet(SMALL, { rng: new Rng(1) });
  const tensors = new Map<string, tf.Tensor>(stateDict(model));
  spoil(tensors);
  await saveSafetensors(tensors, join(at, 'model.safetensors'));
  model.dispose();
  return at;
}

const wrongConfig = (name: string, change: object) => writeJson(folder, name, { ...SMALL, ...change });
let runs = 0;
const train = (...more: string[]) => ['train', '--backend', 'wasm', '--data', text, '--steps', '1', '--out', join(folder, `run${runs++}`), ...more];

describe('what the user gets wrong', () => {
  it('sub-commands and options', async () => {
    await fails(['no-such-command'], /unknown command 'no-such-command'/, /--help/);
    await fails(['generate', '--no-such-option'], /unknown option '--no-such-option'/);
    await fails(['generate', '--max-bytes', 'many'], /--max-bytes.*many.*whole number/s);
    await fails(['train', '--data', text], /required option '--out/);
    await fails(train('--schedule', 'step'), /choices are wsd, cosine, constant/i);
    await fails(train('--preset', 'huge'), /--preset huge: expected one of .*demo/);
    await fails(train('--preset', 'demo', '--config', 'x.json'), /expected one of them, got both/);
  });

  it('backends', async () => {
    await fails(['generate', '--model', good, '--prompt', 'a', '--backend', 'quantum'], /must be one of cpu, wasm, webgpu, tensorflow, auto; it is 'quantum'/);
  });

  it('files that are not there', async () => {
    await fails(['generate', '--model', 'no-such-model', '--prompt', 'a'], /no-such-model: expected a folder, a file, a preset or a Hugging Face id/, /presets are .*demo/);
    await fails(['evaluate', '--model', good, '--data', join(folder, 'none.txt')], /none\.txt: cannot be read/);
    await fails(['chunks', '--model', good, '--file', join(folder, 'none.txt')], /none\.txt: it cannot be read/);
    await fails(['inspect', '--model', good, '--config', join(folder, 'none.json')], /none\.json: it cannot be read/);
    await fails(['demo', '--model', good, '--text', join(folder, 'none.txt')], /none\.txt: it cannot be read/);
    await fails(train('--resume'), /run\.json: expected the file of an earlier run/);
    mkdirSync(join(folder, 'empty'));
    await fails(['generate', '--model', join(folder, 'empty'), '--prompt', 'a'], /expected model\.safetensors or another checkpoint in it/);
  });

  it('configurations', async () => {
    await fails(train('--config', wrongConfig('a.json', { d_modell: [32, 64] })), /a\.json.*unknown key d_modell/s);
    await fails(train('--config', wrongConfig('b.json', { arch_layout: ['m1', ['X1'], 'm1'] })), /layout 'X1': expected letters m, M, t, T/);
    await fails(train('--config', wrongConfig('c.json', { d_model: [64, 32] })), /must not decrease/);
    await fails(train('--config', wrongConfig('d.json', { ssm_cfg: { ...SMALL.ssm_cfg, dt: 1 } })), /unknown key ssm_cfg\.dt/);
    writeFileSync(join(folder, 'e.json'), '{ not json');
    await fails(train('--config', join(folder, 'e.json')), /e\.json: it is not JSON/);
    const small = writeJson(folder, 'small.json', SMALL);
    await fails(train('--config', small, '--ratio-targets', '3,3'), /ratio targets: expected 1 \(one per router\), got 2/);
    await fails(train('--config', small, '--lr-multipliers', '1'), /multipliers: expected 2 \(one per stage\), got 1/);
    await fails(train('--config', small, '--warmup', '0.6', '--decay', '0.6'), /more than the whole run/);
  });

  it('ranges', async () => {
    const small = writeJson(folder, 'small.json', SMALL);
    await fails(train('--config', small, '--range', '0:99999999'), /expected a part of the \d+ bytes/);
    await fails(train('--config', small, '--range', '0:4000', '--valid-range', '3000:5000'), /overlap/);
    await fails(train('--config', small, '--range', '0:100', '--length', '512'), /expected at least one window of 512 bytes/);
  });

  it('texts', async () => {
    const latin = join(folder, 'latin.txt');
    writeFileSync(latin, Uint8Array.from([...new TextEncoder().encode('caf'), 0xe9, 0x20, 0x61]));
    await fails(['chunks', '--model', good, '--file', latin], /latin\.txt: byte 0xE9 at 3 is not UTF-8/, /--raw/);
    await fails(['generate', '--model', good, '--file', latin], /byte 0xE9 at 3/);
    writeFileSync(join(folder, 'void.txt'), '');
    await fails(['evaluate', '--model', good, '--data', join(folder, 'void.txt')], /expected text, got 1 empty file/);
    await fails(['train', '--data', join(folder, 'void.txt'), '--out', join(folder, 'run')], /expected text, got 1 empty file/);
    writeFileSync(join(folder, 'short.txt'), 'short');
    await fails(['demo', '--model', good, '--text', join(folder, 'short.txt')], /at least 2048 bytes, got 5/);
  });
});

describe('checkpoints that do not fit', () => {
  const generate = (model: string) => ['generate', '--model', model, '--prompt', 'a', '--max-bytes', '1'];

  it('missing, unexpected and mis-shaped tensors, by name', async () => {
    const missing = await spoiled('missing', (t) => t.delete('backbone.residual_proj.bias'));
    await fails(generate(missing), /1 missing, 0 unexpected, 0 wrong shape/, /backbone\.residual_proj\.bias/);
    await fails(generate(await spoiled('extra', (t) => t.set('stranger', tf.zeros([2])))), /0 missing, 1 unexpected/, /stranger/);
    await fails(generate(await spoiled('shape', (t) => t.set('lm_head.weight', tf.zeros([256, 31])))), /1 wrong shape/, /lm_head\.weight file \(256, 31\) vs model \(256, 32\)/);
    const { code, stdout, stderr } = await callCli('inspect', missing);
    expect(code).toBe(1);
    expect(stdout).toMatch(/missing: backbone\.residual_proj\.bias/);
    expect(stderr).toMatch(/1 missing/);
  });

  it('NaN in weights, by name', async () => {
    const bad = await spoiled('nan', (t) => t.set('backbone.encoder.rmsnorm.weight', tf.fill([32], NaN)));
    await fails(generate(bad), /backbone\.encoder\.rmsnorm\.weight holds NaN at entry 0/);
  });

  it('files that are cut off, or something else', async () => {
    const { readFileSync } = await import('node:fs');
    const whole = readFileSync(join(good, 'model.safetensors'));
    for (const [name, bytes, message] of [
      ['cut', whole.subarray(0, whole.length / 2), /truncated/],
      ['noise', Buffer.from('this is no checkpoint at all'), /neither/],
    ] as const) {
      const at = join(folder, name);
      mkdirSync(at);
      writeJson(at, 'config.json', SMALL);
      writeFileSync(join(at, 'model.safetensors'), bytes);
      await fails(generate(at), message);
    }
  });
});

describe('what is unusual but fine', () => {
  const lines = (text: string) => text.split('\n').length;

  it.each([['empty', ''], ['one byte', 'a'], ['one character of several bytes', '漢']])('a prompt that is %s', async (_, prompt) => {
    const { code, stdout } = await callCli('generate', '--model', good, '--prompt', prompt, '--max-bytes', '5', '--json');
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { rows: { prompt: string; bytes: number[] }[] }).rows[0]).toMatchObject({ prompt });
  });

  it('several prompts of unequal length, in order', async () => {
    const { code, stdout } = await callCli('generate', '--model', good, '--prompt', 'a', 'The sea', '', '--max-bytes', '3', '--temperature', '0');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\[1\] a[^]*\[2\] The sea[^]*\[3\] /);
    expect(lines(stdout)).toBeGreaterThan(3);
  });

  it('bytes that are not UTF-8, with --raw', async () => {
    const latin = join(folder, 'latin1.txt');
    writeFileSync(latin, Uint8Array.from([0x63, 0xe9, 0x20]));
    const { code, stdout } = await callCli('chunks', '--model', good, '--file', latin, '--raw', '--no-html', '--json');
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { bytes: number[] }[])[0]!.bytes).toEqual([254, 0x63, 0xe9, 0x20]);
  });

  it('an empty text to cut', async () => {
    const { code, stdout } = await callCli('chunks', '--model', good, '', '--no-html');
    expect(code).toBe(0);
    expect(stdout).toMatch(/<BOS>/);
  });
});
