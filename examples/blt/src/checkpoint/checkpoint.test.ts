import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SequenceContext, type HierarchicalLM } from '@bytelm/core';
import { openSafetensors, saveSafetensors, type HostTensor } from '@bytelm/core/io';
import { fixtureRoot, useBackend } from '@bytelm/core/testing';
import { entropyModelOf } from '../model.js';
import { findBLT, findEntropyModel, loadBLT, loadEntropyModel, saveBLT, saveEntropyModel, type LoadBLTOptions } from './index.js';

const fixture = (name: string) => join(fixtureRoot(), 'blt', name);
const IDS = Int32Array.of(1, 84, 101, 120, 103, 108, 105, 119, 36, 119, 103, 101, 112, 105, 36, 102);

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'bytelm-blt-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function logitsOf(model: HierarchicalLM): Promise<Float32Array> {
  const ctx = new SequenceContext(1, IDS.length, { ids: IDS });
  const y = await model.logits(IDS, ctx);
  const values = Float32Array.from(await y.data());
  y.dispose();
  ctx.dispose();
  return values;
}

async function loaded(spec: string, options?: LoadBLTOptions): Promise<HierarchicalLM> {
  return loadBLT(await findBLT(spec), options);
}

function free(model: HierarchicalLM): void {
  entropyModelOf(model).dispose();
  model.dispose();
}

/** Changes the tensors of a copied file. */
async function rewrite(path: string, change: (tensors: Map<string, HostTensor>) => void): Promise<void> {
  const source = await openSafetensors(path);
  const tensors = new Map<string, HostTensor>();
  for (const name of source.names) tensors.set(name, await source.read(name));
  await source.close();
  change(tensors);
  await saveSafetensors(tensors, path);
}

describe('checkpoints', () => {
  beforeAll(() => useBackend('wasm'));

  it.each(['full_k2_gqa', 'full_k3_projection_sharded', 'full_documents_original_names'])('%s: saved in either layout, in shards, it is the same model', async (name) => {
    const source = await findBLT(fixture(name));
    const model = await loadBLT(source);
    const want = await logitsOf(model);
    for (const format of ['transformers', 'original'] as const) {
      // Hidden widths of the fixtures follow the original's rule, so both layouts can say them.
      await saveBLT(join(folder, format), model, source.config, { format, source: source.parsed, maxShardBytes: 30_000 });
      const again = await findBLT(join(folder, format));
      expect([again.parsed.format, again.config]).toEqual([format, source.config]);
      const copy = await loadBLT(again);
      expect(await logitsOf(copy)).toEqual(want);
      free(copy);
    }
    free(model);
  });

  it('hash tables on the host, as stored, rounded and in their file', async () => {
    const device = await loaded(fixture('full_k2_gqa'));
    const want = await logitsOf(device);
    for (const hashTables of ['memory', 'file'] as const) {
      const model = await loaded(fixture('full_k2_gqa'), { hashTables });
      const y = await logitsOf(model);
      y.forEach((v, i) => expect(Math.abs(v - want[i]!)).toBeLessThan(1e-5));
      expect([...model.parameters().keys()].filter((n) => n.startsWith('encoder_hash'))).toEqual([]);
      free(model);
    }
    const rounded = await loaded(fixture('full_k2_gqa'), { hashTables: 'bf16' });
    const y = await logitsOf(rounded);
    // A 260th of each value at most.
    y.forEach((v, i) => expect(Math.abs(v - want[i]!)).toBeLessThan(0.2));
    free(rounded);
    free(device);
  });

  it('matrices kept in bf16: the numbers of the same weights in float32, in a pass and byte by byte; saved bit by bit; not trainable', async () => {
    const source = await findBLT(fixture('full_k2_gqa'));
    const first = await loadBLT(source);
    await saveBLT(join(folder, 'a'), first, source.config, { dtype: 'BF16' });
    free(first);
    const [plain, packed] = [await loaded(join(folder, 'a')), await loaded(join(folder, 'a'), { weights: 'bf16' })];
    const words = (m: HierarchicalLM) => [...m.parameters(), ...entropyModelOf(m).parameters()].filter(([, v]) => v.dtype === 'int32').length;
    expect([words(plain), words(packed)]).toEqual([0, expect.any(Number)]);
    expect(words(packed)).toBeGreaterThan(40);
    const want = await logitsOf(plain);
    (await logitsOf(packed)).forEach((v, i) => expect(Math.abs(v - want[i]!)).toBeLessThan(2e-5));
    const states = [plain.initState(2), packed.initState(2)];
    for (const id of IDS) {
      const [a, b] = [await plain.step(Int32Array.of(id, 70), states[0]!), await packed.step(Int32Array.of(id, 70), states[1]!)];
      expect([...b.fired[0]!]).toEqual([...a.fired[0]!]);
      const values = await a.logits.data();
      (await b.logits.data()).forEach((v, i) => expect(Math.abs(v - values[i]!)).toBeLessThan(2e-5));
      [states[0], states[1]] = [a.state, b.state];
    }
    await saveBLT(join(folder, 'b'), packed, source.config, { dtype: 'BF16' });
    expect(readFileSync(join(folder, 'b', 'model.safetensors'))).toEqual(readFileSync(join(folder, 'a', 'model.safetensors')));
    await expect(packed.lossAndGrads({ ids: IDS, batch: 1, length: IDS.length })).rejects.toThrow(/\[lossAndGrads\] \d+ weights are kept in bf16 and cannot be trained/);
    free(plain);
    free(packed);
  });

  it('the entropy model alone: in its own folder, inside a BLT of either layout, saved and read', async () => {
    const ofPort = await loadEntropyModel(await findEntropyModel(fixture('full_k2_gqa')));
    const byFile = await loadEntropyModel(await findEntropyModel(fixture('entropy_model')));
    expect([ofPort.config.dModel, byFile.config.dModel]).toEqual([24, 20]);
    for (const format of ['original', 'transformers'] as const) {
      const { config } = await findEntropyModel(fixture('entropy_model'));
      await saveEntropyModel(join(folder, format), byFile, config, { format });
      const again = await findEntropyModel(join(folder, format));
      expect(again.config).toEqual(config);
      const copy = await loadEntropyModel(again);
      for (const [name, v] of copy.parameters()) expect(await v.data(), name).toEqual(await byFile.parameters().get(name)!.data());
      copy.dispose();
    }
    ofPort.dispose();
    byFile.dispose();
  });

  it('the original folder of side-by-side models, with a params.json each', async () => {
    const from = fixture('full_documents_original_names');
    const [args, params] = ['config.json', 'params.json'].map((f) => JSON.parse(readFileSync(join(from, f), 'utf8')));
    mkdirSync(join(folder, 'blt_1b'));
    mkdirSync(join(folder, 'entropy_model'));
    writeFileSync(join(folder, 'blt_1b', 'params.json'), JSON.stringify({ model: args.args }));
    writeFileSync(join(folder, 'entropy_model', 'params.json'), JSON.stringify(params));
    // As consolidated.pth names them: under `model`.
    for (const [file, to] of [['model', 'blt_1b'], ['entropy_model', 'entropy_model']] as const) {
      copyFileSync(join(from, `${file}.safetensors`), join(folder, to, 'model.safetensors'));
      await rewrite(join(folder, to, 'model.safetensors'), (tensors) => {
        for (const [name, t] of [...tensors]) {
          tensors.delete(name);
          tensors.set(`model.${name}`, t);
        }
      });
    }
    const [a, b] = [await loaded(from), await loaded(join(folder, 'blt_1b'))];
    expect(await logitsOf(b)).toEqual(await logitsOf(a));
    free(a);
    free(b);
  });

  it('one error lists everything that is missing, unexpected or of another shape', async () => {
    const path = join(folder, 'model');
    cpSync(fixture('full_k2_gqa'), path, { recursive: true });
    await rewrite(join(path, 'model.safetensors'), (tensors) => {
      tensors.delete('model.local_decoder.norm.weight');
      tensors.set('model.odd.weight', { dtype: 'float32', shape: [1], values: Float32Array.of(1) });
      const { values } = tensors.get('model.encoder_hash_tok_embedding.weight')!;
      tensors.set('model.encoder_hash_tok_embedding.weight', { dtype: 'float32', shape: [1200, 24], values: values.slice(0, 1200 * 24) as Float32Array });
      tensors.set('lm_head.weight', { dtype: 'float32', shape: [2, 2], values: Float32Array.of(1, 2, 3, 4) });
    });
    await expect(loaded(path)).rejects.toThrow(
      /1 missing, 1 unexpected, 7 wrong shape[^]*missing: local_decoder\.norm\.weight[^]*unexpected: odd\.weight[^]*local_decoder\.output\.weight file \(2, 2\)[^]*encoder_hash_tok_embedding\.0\.weight file \(200, 24\) vs model \(211, 24\)/,
    );
  });

  it('mixed layouts, a missing shard, a missing entropy model are refused', async () => {
    const mixed = join(folder, 'mixed');
    cpSync(fixture('full_k2_gqa'), mixed, { recursive: true });
    await rewrite(join(mixed, 'model.safetensors'), (tensors) => tensors.set('local_encoder.layers.0.attention.wq.weight', tensors.get('model.local_encoder.layers.0.self_attn.q_proj.weight')!));
    await expect(loaded(mixed)).rejects.toThrow(/names of two layouts, 1 of the original \(local_encoder\.layers\.0\.attention\.wq\.weight\)/);

    const sharded = join(folder, 'sharded');
    cpSync(fixture('full_k3_projection_sharded'), sharded, { recursive: true });
    rmSync(join(sharded, 'model-00002-of-00002.safetensors'));
    await expect(loaded(sharded)).rejects.toThrow(/model-00002-of-00002\.safetensors: cannot be opened/);

    const alone = join(folder, 'alone');
    mkdirSync(alone);
    for (const f of ['config.json', 'model.safetensors']) copyFileSync(join(fixture('full_documents_original_names'), f), join(alone, f));
    await expect(loaded(alone)).rejects.toThrow(/patches by entropies need an entropy model, it is not in this file\. Hint: --entropy-model DIR, or --patcher space/);

    await expect(loaded(join(fixtureRoot(), 'hnet', 'hnet_1stage'))).rejects.toThrow(/another model/);
  });

  it('FFN widths come from the tensors', async () => {
    const path = join(folder, 'model');
    cpSync(fixture('full_k2_gqa'), path, { recursive: true });
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
    for (const part of ['encoder_config', 'decoder_config', 'global_config', 'patcher_config']) delete config[part].intermediate_size;
    writeFileSync(join(path, 'config.json'), JSON.stringify(config));
    const [a, b] = [await loaded(fixture('full_k2_gqa')), await loaded(path)];
    expect(await logitsOf(b)).toEqual(await logitsOf(a));
    free(a);
    free(b);
  });
});
