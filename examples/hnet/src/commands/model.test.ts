import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { initBackend, Rng } from '@bytelm/core';
import { saveModel } from '../checkpoint.js';
import { createHNet } from '../model.js';
import { callCli, REPOSITORY, SMALL, spawnCli, temporaryFolder, TEXT } from '../testing/run.js';
import type { HNetConfig } from '../config.js';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const NESTED: HNetConfig = {
  ...SMALL,
  arch_layout: ['m1', ['m1', ['T1'], 'm1'], 'm1'],
  d_model: [32, 32, 64],
  d_intermediate: [0, 0, 128],
  attn_cfg: { num_heads: [2, 2, 2], rotary_emb_dim: [16, 16, 16], window_size: [7, 5, -1] },
};

beforeAll(async () => {
  await initBackend('wasm');
  const { mkdirSync } = await import('node:fs');
  for (const [name, config] of [['one', SMALL], ['two', NESTED]] as const) {
    mkdirSync(at(name));
    const model = createHNet(config, { rng: new Rng(3) });
    await saveModel(at(name), model, config);
    model.dispose();
  }
  writeFileSync(at('text.txt'), TEXT);
});

describe('generate', () => {
  const args = (...more: string[]) => ['generate', '--model', at('one'), '--prompt', 'The sea', '--max-bytes', '40', ...more];

  it('gives the same text for the same seed, in any process, and another for another', async () => {
    const [first, again, other] = [await callCli(...args('--seed', '5')), await spawnCli(args('--seed', '5')), await callCli(...args('--seed', '6'))];
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout.startsWith('The sea')).toBe(true);
    expect(again.stdout).toBe(first.stdout);
    expect(other.stdout).not.toBe(first.stdout);
  });

  // Weights and greedy bytes of the published implementation.
  it.each([['torch file', 'hnet_edge/hnet_edge.pt', 'hnet_edge'], ['folder', 'hnet_1stage', 'hnet_1stage'], ['safetensors file', 'hnet_2stage/model.safetensors', 'hnet_2stage']])(
    'continues as the reference does, from a %s',
    async (_, model, name) => {
      const fixtures = join(REPOSITORY, 'fixtures/hnet');
      const { prompt, tokens } = (JSON.parse(readFileSync(join(fixtures, name, 'expected.json'), 'utf8')) as { generation: { prompt: string; tokens: number[] } }).generation;
      const { code, stdout, stderr } = await callCli('generate', '--model', join(fixtures, model), '--prompt', prompt.slice(1), '--temperature', '0', '--max-bytes', String(tokens.length), '--json');
      expect(code, stderr).toBe(0);
      expect((JSON.parse(stdout) as { rows: { bytes: number[] }[] }).rows[0]!.bytes).toEqual(tokens);
    },
  );

  it("a text does not depend on its neighbours in the batch", async () => {
    const row = async (...prompts: string[]) => JSON.parse((await callCli('generate', '--model', at('two'), '--prompt', ...prompts, '--max-bytes', '24', '--temperature', '0', '--json')).stdout) as { rows: { bytes: number[] }[] };
    const [batch, alone] = [await row('Once upon a time', 'a', 'The'), await row('The')];
    expect(batch.rows).toHaveLength(3);
    expect(batch.rows[2]!.bytes).toEqual(alone.rows[0]!.bytes);
  });

  it('borders are where the stages fired', async () => {
    const plain = await callCli(...args('--seed', '1', '--json'));
    const { rows } = JSON.parse(plain.stdout) as { rows: { chunkStarts: number[][]; prompt: string; bytes: number[] }[] };
    const { stdout } = await callCli(...args('--seed', '1', '--borders'));
    // The first byte of the text starts no visible chunk, and the last one was not read any more.
    expect(stdout.match(/│/g)?.length ?? 0).toBe(rows[0]!.chunkStarts[0]!.filter((i) => i > 0).length);
    expect(rows[0]!.bytes).toHaveLength(40);
  });

  it('reads what is piped in', async () => {
    const { code, stdout } = await spawnCli(['generate', '--model', at('one'), '--max-bytes', '3', '--json'], { input: 'Ahoy' });
    expect([code, (JSON.parse(stdout) as { rows: { prompt: string }[] }).rows[0]!.prompt]).toEqual([0, 'Ahoy']);
  });
});

describe('chunks', () => {
  it('prints the text with borders and writes a page with every stage', async () => {
    const { code, stdout, stderr } = await callCli('chunks', '--model', at('two'), 'Two ships & <one> sea', '--without-blanks', '--html', at('page.html'));
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/without blanks/);
    expect(stdout.match(/stage 2: /g)).toHaveLength(2);
    expect(stdout.replace(/[│║]/g, '')).toContain('Two ships & <one> sea');
    const html = readFileSync(at('page.html'), 'utf8');
    expect(html).toMatch(/^<!doctype html>/);
    expect(html).toContain('stage 2 starts a chunk');
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
  });

  it('--json: one probability and decision per byte, and for inner stages per boundary', async () => {
    const { stdout } = await callCli('chunks', '--model', at('two'), 'Two ships', '--json', '--no-html');
    const [row] = JSON.parse(stdout) as { bytes: number[]; stages: { p: number[]; b: number[] }[] }[];
    expect(row!.bytes).toEqual([254, ...new TextEncoder().encode('Two ships')]);
    const [outer, inner] = row!.stages;
    expect(outer!.p).toHaveLength(10);
    expect(outer!.b.every((b, i) => b === (i === 0 || outer!.p[i]! > 0.5 ? 1 : 0))).toBe(true);
    expect(inner!.p).toHaveLength(outer!.b.filter(Boolean).length);
  });

  it('shows the beginning of a long text, in whole characters', async () => {
    writeFileSync(at('long.txt'), '漢'.repeat(20));
    const { stdout, stderr } = await callCli('chunks', '--model', at('one'), '--file', at('long.txt'), '--max-bytes', '10', '--json', '--no-html');
    expect((JSON.parse(stdout) as { bytes: number[] }[])[0]!.bytes).toHaveLength(10);
    expect(stderr).toMatch(/the first 9 of 60 bytes/);
  });
});

describe('evaluate', () => {
  const score = async (...more: string[]) => {
    const { code, stdout, stderr } = await callCli('evaluate', '--model', at('one'), '--data', at('text.txt'), '--range', '100:700', '--window', '128', '--backend', 'wasm', '--json', ...more);
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout) as { bitsPerByte: number; bytes: number; stride?: number };
  };

  it('scores every byte of the range once, in each mode', async () => {
    const sliding = await score();
    expect(sliding).toMatchObject({ bytes: 600, stride: 64 });
    expect(sliding.bitsPerByte).toBeGreaterThan(7);
    for (const mode of ['chunked', 'stateful']) {
      const other = await score('--mode', mode);
      expect(other.bytes).toBe(600);
      expect(Math.abs(other.bitsPerByte - sliding.bitsPerByte)).toBeLessThan(0.2);
    }
  });

  it('an option that belongs to another mode is refused', async () => {
    const { code, stderr } = await callCli('evaluate', '--model', at('one'), '--data', at('text.txt'), '--mode', 'chunked', '--stride', '4');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/--stride 4 belongs to --mode sliding/)]);
  });
});

describe('inspect', () => {
  it('presets need no weights and no backend', async () => {
    const { code, stdout } = await callCli('inspect', 'hnet_2stage_XL', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ parameters: 1_603_492_224, positionsPerChunk: [3, 3], stages: [{ width: 1024 }, { width: 1536 }, { width: 2048 }] });
  });

  it('names the tensors of a file and reads them when asked to', async () => {
    const { code, stdout, stderr } = await callCli('inspect', at('two'), '--load');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/weights: .*model\.safetensors: \d+ tensors \(\d+ F32\)/);
    expect(stdout).toMatch(/backbone\.main_network\.main_network\.main_network\.layers\.0\.mixer\.Wqkv\.weight \(192, 64\)/);
    expect(stderr).toMatch(/all values were read and are finite/);
  });
});

describe('demo', () => {
  it('without a terminal: chunks, texts, a loss that falls, and a page that says where it is', async () => {
    const { code, stdout, stderr } = await spawnCli(['demo', '--model', at('one'), '--text', at('text.txt'), '--seconds', '6', '--bytes', '20', '--html', at('demo.html'), '--out', at('kept')]);
    expect(code, stderr).toBe(0);
    const bpb = [...stdout.matchAll(/([\d.]+) bits per byte of held-out text/g)].map((m) => Number(m[1]));
    expect(bpb).toHaveLength(2);
    expect(bpb[1]!).toBeLessThan(bpb[0]! - 0.5);
    expect(stdout).toMatch(/second \d\/6 · step \d+ · loss [\d.]+ bits per byte · [\d,]+ bytes\/s/);
    expect(stdout).toContain(`page: ${at('demo.html')}`);
    expect(readFileSync(at('demo.html'), 'utf8')).toContain('It writes, after');
    expect(existsSync(at('kept', 'model.safetensors'))).toBe(true);
  });
});

it('every sub-command says what it takes', async () => {
  for (const name of ['demo', 'train', 'generate', 'chunks', 'evaluate', 'inspect']) {
    const { code, stdout } = await callCli(name, '--help');
    expect(code).toBe(0);
    for (const part of ['Usage: hnet', '--backend', '--seed', 'Examples:']) expect(stdout, name).toContain(part);
  }
});
