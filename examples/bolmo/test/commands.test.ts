import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { fixtureRoot } from '@bytelm/core/testing';
import { temporaryFolder, testCli } from '@bytelm/example-shared/testing';
import { TINY_MODEL } from '../src/index.js';
import { runCli } from '../src/run-cli.js';
import { SHORT, toyTeacher, toyText } from './toy-teacher.js';

const { callCli, spawnCli } = testCli('bolmo', runCli);
const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);

/** What a command prints on standard output. */
async function printed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await callCli(...args);
  expect(code, stderr).toBe(0);
  return stdout;
}

const MODEL = join(fixtureRoot(), 'bolmo', 'bolmo_tiny_olmo2');
const GOLDEN_TEXT = 'Hello World! the w';
/** Bits per byte of that text, folded, in the golden case. */
const GOLDEN_BITS = 9.401047527325959;

describe('pnpm bolmo', () => {
  it('inspect compares the file with the configuration', async () => {
    const report = JSON.parse(await printed('inspect', MODEL, '--json')) as { checkpoint: Record<string, unknown[]>; parameters: number };
    expect([report.checkpoint.missing, report.checkpoint.unexpected, report.checkpoint.wrongShape]).toEqual([[], [], []]);
    expect(report.checkpoint.values).toBe(report.parameters);
  });

  it('generate gives the golden bytes, chunks the golden boundaries', async () => {
    const { rows } = JSON.parse(await printed('generate', '--model', MODEL, '--prompt', GOLDEN_TEXT, '--max-bytes', '6', '--temperature', '0', '--json')) as { rows: { bytes: number[] }[] };
    expect(rows[0]!.bytes).toEqual([58, 124, 213, 135, 208, 127]);
    const [row] = JSON.parse(await printed('chunks', '--model', MODEL, '--no-html', '--json', GOLDEN_TEXT)) as { stages: { b: number[] }[] }[];
    // Patches end behind bytes 0, 6, 9 and 10: the next ones start at 1, 7, 10 and 11.
    expect(row!.stages[0]!.b.flatMap((b, i) => (b ? [i] : []))).toEqual([0, 1, 7, 10, 11]);
  });

  it('evaluate gives the golden likelihood, in windows of bytes and of tokens', async () => {
    writeFileSync(at('golden.txt'), GOLDEN_TEXT);
    const plain = JSON.parse(await printed('evaluate', '--model', MODEL, '--data', at('golden.txt'), '--json')) as { bitsPerByte: number };
    expect(plain.bitsPerByte).toBeCloseTo(GOLDEN_BITS, 4);
    const score = JSON.parse(await printed('evaluate', '--model', MODEL, '--data', at('golden.txt'), '--boundaries', '--json')) as Record<'predicted' | 'trueBoundaries', { joint: number; folded: number }>;
    expect(score.predicted.folded).toBeCloseTo(GOLDEN_BITS, 4);
    expect(score.predicted.joint).toBeGreaterThan(score.predicted.folded);
    expect(score.trueBoundaries.folded).not.toBeCloseTo(score.predicted.folded, 3);
    expect(await printed('evaluate', '--model', MODEL, '--data', at('golden.txt'), '--boundaries')).toMatch(/^bits per byte +true, joint +true, folded +own, joint +own, folded +boundaries +bytes per patch\nmodel +(\d+\.\d{4} +){4}\d+\.\d\d % +\d+\.\d\d\n/);
  });

  it('without --model it takes the model that comes with it, if there is one', async () => {
    const { stderr } = await callCli('generate', '--prompt', 'the', '--max-bytes', '1');
    expect(stderr).toContain(existsSync(TINY_MODEL) ? 'tiny (comes with this example)' : 'bolmo-tiny');
  });
});

describe('byteify and compress, as commands', () => {
  const options = Object.entries(SHORT).flatMap(([name, value]) => [`--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`, String(value)]);
  let start: string[];
  beforeAll(() => {
    start = ['byteify', '--teacher', toyTeacher(at('teacher')), '--data', toyText(at('data')), ...options];
  });

  it('print their reports', async () => {
    const text = await printed(...start, '--out', at('run'));
    expect(text).toMatch(/^bits per byte +true, joint .*\nteacher +\d+\.\d{4} .*\nafter stage 1 +\d+\.\d{4} \([+−]\d+\.\d\d %\) .*\nafter stage 2 /);
    expect(text).toMatch(/\nstage 1: 6 steps, \d+ bytes, \d+(\.\d+)? MFLOP, \d+s\nstage 2: 5 steps/);
    expect(await printed('byteify', '--resume', '--out', at('run'))).toBe(text);
    const thinned = await printed('compress', '--model', at('run'), '--data', at('data', 'text.txt'), '--target', '3', '--steps', '1', '--patches', '17', '--batch', '2', '--report-bytes', '200', '--eval-every', '0', '--backend', 'wasm', '--out', at('thin'));
    expect(thinned).toMatch(/\nbefore +.*\nafter +.*\n\nlabels were thinned out to 3 bytes per patch/);
    expect(readdirSync(at('thin')).sort()).toEqual(['compress', 'compress.json', 'config.json', 'model.safetensors', 'report.json', 'tokenizer.json', 'tokenizer_config.json', expect.stringMatching(/^tokens-[0-9a-f]{16}\.safetensors$/)]);
  });

  it('Ctrl-C saves, and says how to go on', async () => {
    const endless = start.map((word, i) => (start[i - 1] === '--stage1-steps' ? '100000' : word));
    const { code, stderr } = await spawnCli([...endless, '--save-every', '100000', '--out', at('stopped')], {
      onOutput: (text, child) => {
        if (/step \d+\/100000/.test(text) && !/stopping/.test(text)) child.kill('SIGINT');
      },
    });
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/stopping after this step(.|\n)*saved\n(.|\n)*stopped; continue with: byteify --resume --out/);
    expect(readdirSync(at('stopped', 'stage1')).filter((n) => n.startsWith('checkpoint-'))).toHaveLength(1);
  });

  it('say what is missing', async () => {
    expect((await callCli('byteify', '--out', at('x'))).stderr).toContain('expected --teacher and --data. Hint: --resume');
    expect((await callCli('compress', '--model', 'm', '--out', at('x'))).stderr).toContain('expected --model, --data and --target');
    expect((await callCli('byteify', '--resume', '--out', at('x'))).stderr).toContain('expected the file of an earlier run, there is none');
    expect((await callCli(...start, '--preset', 'huge', '--out', at('x'))).stderr).toContain('Allowed choices are bolmo, small');
  });
});
