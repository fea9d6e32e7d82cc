import { mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { initBackend, Rng } from '@bytelm/core';
import { saveSafetensors, stateDict } from '@bytelm/core/io';
import type { HNetConfig } from '../config.js';
import { createHNet, stageOfParameter } from '../model.js';
import { parameterShapes } from '../parameter-shapes.js';
import { callCli, REPOSITORY, runsFolder, SMALL, spawnCli, TEXT, writeJson } from '../testing/run.js';
import { decays } from '../train/parameter-groups.js';

const { folder, at, bytesOf, steps, evaluations, checkpoints } = runsFolder();

beforeAll(() => {
  writeFileSync(at('text.txt'), TEXT);
  writeJson(folder, 'config.json', SMALL);
});

const run = (out: string, ...more: string[]) => [
  ...['train', '--config', at('config.json'), '--data', at('text.txt'), '--batch', '2', '--length', '48', '--backend', 'wasm'],
  ...['--eval-every', '2', '--eval-bytes', '128', '--save-every', '2', '--ratio-targets', '3', '--out', at(out), ...more],
];

describe('train', () => {
  it('leaves the model, its configuration, the settings and a log', async () => {
    const { code, stderr } = await callCli(...run('whole', '--steps', '6'));
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/step 6\/6 · loss \d\.\d+ \(\d\.\d+ bits per byte\) · \d+\.\d bytes per chunk · [\d,]+ bytes\/s · 0s left/);
    expect(readdirSync(at('whole')).sort()).toEqual(['checkpoint-00000004', 'checkpoint-00000006', 'config.json', 'log.jsonl', 'loss.svg', 'model.safetensors', 'run.json']);
    expect(JSON.parse(readFileSync(at('whole', 'config.json'), 'utf8'))).toEqual(SMALL);
    const logged = steps('whole');
    expect(logged.map((l) => l.step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(Object.keys(logged[0]!)).toEqual(['type', 'step', 'loss', 'crossEntropy', 'ratio0', 'bytesPerChunk', 'lr', 'gradNorm', 'bytes', 'bytesPerSecond', 'ms']);
    expect(logged[0]!.bytes).toBe(96);
    expect(logged[5]!.crossEntropy).toBeLessThan(logged[0]!.crossEntropy as number);
    expect(evaluations('whole').map((l) => l.step)).toEqual([2, 4, 6]);
    expect(bytesOf('whole', 'model.safetensors')).toBe(bytesOf('whole', 'checkpoint-00000006', 'model.safetensors'));
    const { code: refused, stderr: why } = await callCli(...run('whole', '--steps', '6'));
    expect([refused, why]).toEqual([1, expect.stringMatching(/already holds a run.*--resume continues it/s)]);
  });

  it('six steps in one go = three, and three more in another process, bit for bit', async () => {
    expect((await spawnCli(run('halves', '--steps', '6', '--stop-at', '3'))).stderr).toMatch(/stopped after step 3; continue with: train --resume/);
    const second = await spawnCli(['train', '--resume', '--out', at('halves')]);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toMatch(/training from step 3 to step 6/);
    for (const file of ['model.safetensors', 'checkpoint-00000006/optimizer.safetensors']) expect(bytesOf('halves', file), file).toBe(bytesOf('whole', file));
    const losses = (name: string) => steps(name).map((l) => [l.step, l.loss, l.gradNorm, l.lr]);
    expect(losses('halves')).toEqual(losses('whole'));
  });

  it('after a crash the log has no line of steps that were lost', async () => {
    const log = at('halves', 'log.jsonl');
    writeFileSync(log, `${readFileSync(log, 'utf8')}{"type":"step","step":7,"loss":1}\n{"type":"st`);
    const { code, stderr } = await callCli('train', '--resume', '--out', at('halves'), '--steps', '7');
    expect(code, stderr).toBe(0);
    expect(steps('halves').map((l) => l.step)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(steps('halves')[6]!.loss).not.toBe(1);
  });

  it('Ctrl-C saves the step it stops at, and the run goes on from there', async () => {
    const stopped = await spawnCli(run('stopped', '--steps', '100000', '--save-every', '100000', '--eval-every', '0'), {
      onOutput: (text, child) => {
        if (/step \d+\/100000/.test(text) && !/stopping/.test(text)) child.kill('SIGINT');
      },
    });
    expect(stopped.code, stopped.stderr).toBe(0);
    expect(stopped.stderr).toMatch(/stopping after this step/);
    const [, step] = /stopped after step (\d+)/.exec(stopped.stderr)!;
    expect(checkpoints('stopped')).toEqual([`checkpoint-${step!.padStart(8, '0')}`]);
    const { code, stderr } = await callCli('train', '--resume', '--out', at('stopped'), '--stop-at', String(Number(step) + 1));
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(new RegExp(`from step ${step} `));
    expect(checkpoints('stopped')).toHaveLength(2);
  });

  it('starts from the weights of another run', async () => {
    const { code, stderr } = await callCli('train', '--init', at('whole'), '--data', at('text.txt'), '--steps', '1', '--batch', '2', '--length', '48', '--lr', '0', '--backend', 'wasm', '--out', at('again'));
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/peak: expected a positive rate/);
    const ok = await callCli('train', '--init', at('whole'), '--data', at('text.txt'), '--steps', '1', '--batch', '2', '--length', '48', '--lr', '1e-12', '--backend', 'wasm', '--out', at('tuned'));
    expect(ok.code, ok.stderr).toBe(0);
    expect(JSON.parse(readFileSync(at('tuned', 'run.json'), 'utf8'))).toMatchObject({ ratioTargets: [3], init: at('whole') });
    // A rate of nothing: the weights stay as they were read.
    const names = (await callCli('inspect', at('tuned'), '--json')).stdout;
    expect((JSON.parse(names) as { checkpoint: { missing: string[] } }).checkpoint.missing).toEqual([]);
    expect(Math.abs((steps('tuned')[0]!.crossEntropy as number) - (steps('whole')[5]!.crossEntropy as number))).toBeLessThan(0.6);
  });

  it('a full disk while saving: training goes on, the last checkpoint stays whole, the end says what is wrong', async () => {
    // Files of at most 16 KiB: the log fits, a checkpoint does not.
    const first = await callCli(...run('full', '--steps', '4', '--stop-at', '1'));
    expect(first.code, first.stderr).toBe(0);
    const { code, stderr } = await spawnCli(['train', '--resume', '--out', at('full')], { before: 'ulimit -f 16' });
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/warning: \[write\].*the file would be larger than allowed.*Training goes on/);
    expect(stderr).toMatch(/error: \[write\].*checkpoint-00000004.*Nothing was changed/s);
    expect(checkpoints('full')).toEqual(['checkpoint-00000001']);
    expect(readdirSync(at('full')).filter((n) => n.includes('tmp'))).toEqual([]);
    const again = await callCli('train', '--resume', '--out', at('full'));
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr).toMatch(/from step 1 to step 4/);
  });

  it('a text that vanishes while it is read: what was learned is saved', async () => {
    mkdirSync(at('texts'));
    for (const name of ['a.txt', 'b.txt']) writeFileSync(at('texts', name), TEXT);
    const { code, stderr } = await spawnCli(run('vanish', '--steps', '100000', '--save-every', '100000', '--eval-every', '0', '--data', at('texts')), {
      onOutput: (text) => {
        if (!/step \d+\/100000/.test(text)) return;
        for (const name of ['a.txt', 'b.txt']) writeFileSync(at('texts', name), 'gone');
      },
    });
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/error: \[read\] .*[ab]\.txt: expected \d+ bytes as when training began/);
    expect(checkpoints('vanish')).toHaveLength(1);
    rmSync(at('texts'), { recursive: true });
    const resumed = await callCli('train', '--resume', '--out', at('vanish'));
    expect([resumed.code, resumed.stderr]).toEqual([1, expect.stringMatching(/texts: cannot be read/)]);
  });

  it('a loss that is not finite: the step is named, the checkpoints stay', async () => {
    await initBackend('wasm');
    mkdirSync(at('huge'));
    writeJson(at('huge'), 'config.json', SMALL);
    const model = createHNet(SMALL, { rng: new Rng(1) });
    // Finite weights whose product is not.
    const tensors = new Map<string, tf.Tensor>(stateDict(model));
    tensors.set('lm_head.weight', tf.fill([256, 32], 3e38));
    await saveSafetensors(tensors, at('huge', 'model.safetensors'));
    model.dispose();
    const { code, stderr } = await callCli('train', '--init', at('huge'), '--ratio-targets', '3', '--data', at('text.txt'), '--steps', '3', '--batch', '2', '--length', '48', '--eval-every', '0', '--backend', 'wasm', '--out', at('nan'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/error: \[trainLoop\] step 1: loss .*expected finite numbers/);
    expect(checkpoints('nan')).toEqual([]);
  });

  it('data that is another one cannot be resumed', async () => {
    writeFileSync(at('other.txt'), TEXT.slice(0, -100));
    const { code, stderr } = await callCli('train', '--resume', '--out', at('whole'), '--data', at('other.txt'), '--steps', '8');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/the data is not the one this position belongs to/)]);
    unlinkSync(at('other.txt'));
  });
});

describe('which parameters decay', () => {
  const names: [string, number][] = [['embeddings.weight', 2], ['lm_head.weight', 2], ['backbone.encoder.layers.0.mixer.conv1d.weight', 3], ['backbone.encoder.layers.0.mixer.conv1d.bias', 1], ['backbone.encoder.layers.0.mixer.A_log', 1], ['backbone.encoder.layers.0.norm1.weight', 1]];

  it('matrices: neither vectors nor embeddings', () => {
    expect(names.filter(([n, rank]) => decays(n, rank, 'matrices')).map(([n]) => n.split('.').slice(-2).join('.'))).toEqual(['lm_head.weight', 'conv1d.weight']);
  });

  it.each(['hnet_1stage', 'hnet_2stage'])("published: as the reference's grouping function has it, rates too: %s", (name) => {
    const read = (file: string) => JSON.parse(readFileSync(join(REPOSITORY, 'fixtures/hnet', name, file), 'utf8')) as unknown;
    const { param_groups: expected } = read('expected.json') as { param_groups: { lr_multiplier: number[]; params: Record<string, { lr_multiplier: number; weight_decay_zero: boolean }> } };
    const config = read('config.json') as HNetConfig;
    const own = Object.fromEntries(
      [...parameterShapes(config)].map(([n, shape]) => [n, { lr_multiplier: expected.lr_multiplier[stageOfParameter(n, config)], weight_decay_zero: !decays(n, shape.length, 'published') }]),
    );
    expect(own).toEqual(expected.params);
  });
});
