import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { copyFileSync, mkdirSync } from 'node:fs';
import { openSafetensors, saveSafetensors, type HostTensor } from '@bytelm/core/io';
import { fixtureRoot } from '@bytelm/core/testing';
import { readJsonFile } from '@bytelm/example-shared/model';
import { temporaryFolder, testCli } from '@bytelm/example-shared/testing';
import { mergeFolders } from '../src/index.js';
import { runCli } from '../src/run-cli.js';
import { toyTeacher } from './toy-teacher.js';

const folder = temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const model = join(fixtureRoot(), 'bolmo', 'bolmo_tiny_olmo2');
const base = toyTeacher(at('base'));
const { callCli } = testCli('bolmo', runCli);

async function read(path: string): Promise<Map<string, HostTensor>> {
  const file = await openSafetensors(join(path, 'model.safetensors'));
  const out = new Map<string, HostTensor>();
  for (const name of file.names) out.set(name, await file.read(name));
  await file.close();
  return out;
}

/** The teacher with some tensors changed. */
async function tuned(name: string, change: (tensors: Map<string, HostTensor>) => void): Promise<string> {
  toyTeacher(at(name));
  const tensors = await read(base);
  change(tensors);
  await saveSafetensors(tensors, at(name, 'model.safetensors'));
  return at(name);
}

const Q = 'model.layers.2.self_attn.q_proj.weight';
const EMBEDDING = 'model.embed_tokens.weight';

describe('merge', () => {
  let more: string;
  beforeAll(async () => {
    more = await tuned('tuned', (tensors) => {
      tensors.get(Q)!.values.forEach((_, i, v) => (v[i] = v[i]! + (i % 2 ? 0.5 : -0.25)));
      tensors.get(EMBEDDING)!.values.forEach((_, i, v) => (v[i] = v[i]! + 1));
    });
  });

  it('adds alpha times what was tuned to the layers in common, and says what changed', async () => {
    const report = await mergeFolders({ model, base, tuned: more, out: at('merged'), alpha: 0.5 });
    const [before, after] = [await read(model), await read(at('merged'))];
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [name, { values }] of before) {
      const wanted = name === Q ? Array.from(values, (v, i) => Math.fround(v + 0.5 * (i % 2 ? 0.5 : -0.25))) : [...values];
      const got = [...after.get(name)!.values];
      expect(Math.max(...got.map((v, i) => Math.abs(v - wanted[i]!))), name).toBeLessThan(1e-6);
    }
    const change = report.changed.find((c) => c.name === Q)!;
    expect(change.change).toBeCloseTo(0.5 * Math.sqrt((0.25 + 0.0625) / 2), 5);
    expect(report.changed.filter((c) => c.change > 0)).toEqual([change]);
    expect(report.changed.map((c) => c.name)).toContain('model.norm.weight');
    expect(report.skipped.map((s) => s.name)).toEqual(['lm_head.weight']);
    expect(report.unused).toContain(EMBEDDING);
    expect(report.untouched.every((n) => /local_|boundary/.test(n))).toBe(true);
    expect(readJsonFile(at('merged', 'merge.json'))).toMatchObject({ alpha: 0.5, changed: report.changed });
  });

  it('the command: the embedding table as well, a table of changes, and a model that runs', async () => {
    const { code, stdout, stderr } = await callCli('merge', '--model', model, '--base', base, '--tuned', more, '--embeddings', '--out', at('both'));
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/model\.local_encoder\.subword_embedding\.weight +1\.000e\+0 /);
    expect(stdout).toMatch(/model\.layers\.2\.self_attn\.q_proj\.weight +3\.953e-1 +\d+\.\d{3} %/);
    expect(stdout).toContain('of another shape, left (1): lm_head.weight (384, 48) vs (520, 48)');
    const generated = await callCli('generate', '--model', at('both'), '--prompt', 'the', '--max-bytes', '3', '--json');
    expect(generated.code, generated.stderr).toBe(0);
  });

  it('shapes and tensors that differ: names of tensor and files', async () => {
    const half = await tuned('half', (tensors) => tensors.set(Q, { dtype: 'float32', shape: [24, 48], values: new Float32Array(24 * 48) }));
    await expect(mergeFolders({ model, base, tuned: half, out: at('x') })).rejects.toThrow(/differ in 1 tensor: model\.layers\.2\.self_attn\.q_proj\.weight is \(48, 48\) in .*base.model\.safetensors and \(24, 48\) in .*half.model\.safetensors/);
    const without = await tuned('without', (tensors) => tensors.delete(Q));
    await expect(mergeFolders({ model, base, tuned: without, out: at('y') })).rejects.toThrow(/model\.layers\.2\.self_attn\.q_proj\.weight is not in .*without.model\.safetensors/);
    // The byte model of another source.
    await expect(mergeFolders({ model, base: half, tuned: half, out: at('z') })).rejects.toThrow(/\[merge\] 1 tensor differs in shape: model\.layers\.2\.self_attn\.q_proj\.weight is \(48, 48\) in .*bolmo_tiny_olmo2.model\.safetensors and \(24, 48\) in .*half/);
  });

  it('does not write over a model, and leaves nothing behind when it fails', async () => {
    mkdirSync(at('taken'));
    copyFileSync(join(model, 'model.safetensors'), at('taken', 'model.safetensors'));
    await expect(mergeFolders({ model, base, tuned: more, out: at('taken') })).rejects.toThrow(/taken: it already holds a model/);
    await expect(mergeFolders({ model: 'bolmo-tiny', base, tuned: more, out: at('none') })).rejects.toThrow(/got a preset/);
    await expect(mergeFolders({ model, base, tuned: more, out: at('none'), alpha: NaN })).rejects.toThrow(/alpha: expected a number, got NaN/);
  });
});
