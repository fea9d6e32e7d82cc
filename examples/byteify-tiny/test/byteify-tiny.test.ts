import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixtureRoot } from '@bytelm/core/testing';
import { REPOSITORY, temporaryFolder, testCli } from '@bytelm/example-shared/testing';
import { readLines } from '@bytelm/example-shared/train';
import { claimsOf, readRecord, readResults, RECIPES, runCli, runRecipe, SAMPLE, type Recipe } from '../src/index.js';

const toy = join(fixtureRoot(), 'bolmo', 'toy_tokenizer');
const { callCli, spawnCli } = testCli('byteify-tiny', runCli);
const folder = temporaryFolder();

/** The quick recipe cut down to seconds: every phase, hardly any training. */
const MICRO: Recipe = {
  ...RECIPES.quick({
    seed: 1,
    backend: 'wasm',
    data: { files: [SAMPLE.text], range: [0, 20_000], validRange: [20_000, 22_000], testRange: [22_000, 24_000] },
    other: { file: SAMPLE.other, share: 0.5 },
    tokenizer: toy,
  }),
  name: 'micro',
  scoreBytes: 300,
  teacher: { preset: 'micro', steps: 3, batch: 2, length: 64, lr: 5e-3, warmup: 0.05, decay: 0.2 },
  local: { encoderLayers: 1, decoderLayers: 1, heads: 2, intermediate: 16 },
  stage1: { bytes: 300, batch: 2, patches: 24, lr: 5e-3 },
  stage2: { bytes: 300, batch: 2, patches: 24, lr: 2e-3, globalLr: 1e-3 },
  compress: { bytes: 200, batch: 2, patches: 24, lr: 2e-3, globalLr: 1e-3, targets: [1, 2] },
  tune: { steps: 2, batch: 1, length: 64, lr: 1e-2 },
  spelling: { tasks: ['spell'], lines: 20, textBytes: 3000, rows: 2, teacher: { steps: 2, batch: 1, length: 64, lr: 1e-3 }, student: { bytes: 100, batch: 1, patches: 24, lr: 1e-3 } },
};

describe('byteify-tiny', () => {
  const out = join(folder, 'run');

  it('does every phase and reports what it found, no more', async () => {
    const claims = await runRecipe(out, MICRO);
    expect(claims!.map((c) => c.claim)).toHaveLength(9);
    // Next to nothing was learned, and the report says so.
    expect(claims!.find((c) => c.claim.includes('99 %'))!.found).toBe('not found');
    const results = readResults(out, MICRO);
    expect(results.phases.map((p) => p.name)).toEqual(['teacher', 'student', 'model', 'spelling-teacher', 'spelling-student', 'tuned', 'merged', 'control', 'compress-1', 'compress-2', 'ceiling']);
    expect(results.ceiling!.accuracy).toBeGreaterThan(0.9);
    expect(results.ceiling!.accuracy).toBeLessThan(1);
    expect(results.merged!.changed).toBeGreaterThan(10);
    expect(results.model!.bytes).toBeLessThan(0.55 * statSync(join(out, 'student', 'model.safetensors')).size);
    expect(results.model!.scores.test.trueBoundaries.joint).toBeCloseTo(results.student!.stage2.test.trueBoundaries.joint, 1);
    const { stage1, stage2 } = results.student!.report.budget;
    const spent = stage1!.flops + stage2.flops;
    expect(results.control!.report.budget.stage2.flops / spent).toBeGreaterThan(0.8);
    expect(results.control!.report.budget.stage2.flops / spent).toBeLessThan(1.4);
    const markdown = readFileSync(join(out, 'report', 'report.md'), 'utf8');
    for (const claim of claims!) expect(markdown).toContain(`**${claim.found}**: ${claim.claim}`);
    for (const plot of ['curves', 'compression', 'spelling', 'merging']) expect(markdown).toContain(`(${plot}.svg)`);
    const json = JSON.parse(readFileSync(join(out, 'report', 'report.json'), 'utf8')) as { claims: unknown; recipe: Recipe };
    expect(json.claims).toEqual(claims);
    expect(json.recipe.teacher).toEqual(MICRO.teacher);
    // Whose machine it was made on is nobody's business.
    expect(json.recipe.data.files).toEqual(['prose.txt']);
    expect(JSON.stringify(json)).not.toContain(REPOSITORY);
    expect(readFileSync(join(out, 'report', 'report.html'), 'utf8')).toContain('<svg');
  });

  it('repeats only what is not done; an interrupted phase goes on', async () => {
    const before = readRecord(out, 'student')!;
    const weights = readFileSync(join(out, 'merged', 'model.safetensors'));
    rmSync(join(out, 'merged'), { recursive: true });
    const { code, stderr } = await callCli('--resume', '--out', out);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('[2 of 11] byteification, stage 1 and stage 2: done before');
    expect(readRecord(out, 'student')).toEqual(before);
    expect(readFileSync(join(out, 'merged', 'model.safetensors'))).toEqual(weights);
  });

  it('Ctrl-C saves, and the same command goes on', async () => {
    const stopped = join(folder, 'stopped');
    mkdirSync(stopped);
    writeFileSync(join(stopped, 'recipe.json'), JSON.stringify({ ...MICRO, teacher: { ...MICRO.teacher, steps: 400 } }));
    let asked = false;
    const first = await spawnCli(['--resume', '--out', stopped], {
      onOutput(seen, child) {
        if (asked || !seen.includes('training to step 400')) return;
        asked = true;
        child.kill('SIGINT');
      },
    });
    expect(first.stderr).toContain('stopped; go on with: byteify-tiny --resume');
    expect(readRecord(stopped, 'teacher')).toMatchObject({ done: false });
    const steps = () => readLines(join(stopped, 'teacher', 'log.jsonl')).filter((l) => l.type === 'step').map((l) => l.step as number);
    const done = steps().length;
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(400);
    // The second attempt is stopped, too: when it has made some steps more.
    let again = false;
    const second = await spawnCli(['--resume', '--out', stopped], {
      onOutput(seen, child) {
        if (again || !seen.includes('to step 400:')) return;
        again = true;
        child.kill('SIGINT');
      },
    });
    expect(second.stderr).toContain('[1 of 11] a teacher over BPE tokens, going on');
    expect(steps().length).toBeGreaterThan(done);
    expect(steps()).toEqual(Array.from({ length: steps().length }, (_, i) => i + 1));
  });
});

describe('what is wrong is said', () => {
  const told = async (...args: string[]) => (await callCli('--quick', '--backend', 'wasm', ...args)).stderr;
  const tokenizerWith = (name: string, change: (json: { model: { vocab: Record<string, number> } }) => object): string => {
    const to = join(folder, name);
    mkdirSync(to, { recursive: true });
    cpSync(toy, to, { recursive: true });
    writeFileSync(join(to, 'tokenizer.json'), JSON.stringify(change(JSON.parse(readFileSync(join(toy, 'tokenizer.json'), 'utf8')) as { model: { vocab: Record<string, number> } })));
    return to;
  };

  it('of the command line', async () => {
    expect(await told('--resume', '--out', join(folder, 'nowhere'))).toContain('expected a run to resume');
    expect(await told('--out', join(folder, 'run'))).toContain('it already holds a run');
    expect(await told('--out', join(folder, 'r1'), '--range', '0:100')).toContain('expected all three or none');
    expect(await told('--out', join(folder, 'r2'), '--data', join(folder, 'none.txt'))).toContain('none.txt');
  });

  it('of tokenizers and text', async () => {
    const holes = tokenizerWith('holes', ({ model, ...rest }) => {
      const { Ā: _, ...vocab } = model.vocab;
      return { ...rest, model: { ...model, vocab } };
    });
    expect(await told('--out', join(folder, 't1'), '--tokenizer', holes)).toContain('expected an entry for each of the 256 bytes, got none for 1 of them (0x00)');
    const lower = tokenizerWith('lower', (json) => ({ ...json, normalizer: { type: 'Lowercase' } }));
    expect(await told('--out', join(folder, 't2'), '--tokenizer', lower)).toContain('the tokens do not say what the text says');
  });

  it('of a teacher whose tokenizer is not its own', async () => {
    const out = join(folder, 'run');
    rmSync(join(out, 'student'), { recursive: true });
    cpSync(join(SAMPLE.tokenizer, 'tokenizer.json'), join(out, 'teacher', 'tokenizer.json'));
    const { code, stderr } = await callCli('--resume', '--out', out);
    expect(code).toBe(1);
    expect(stderr).toMatch(/teacher.* gives logits for 340 tokens, .*tokenizer.json has 2048/);
    expect(claimsOf(readResults(out, MICRO)).length).toBeLessThan(8);
  });
});
