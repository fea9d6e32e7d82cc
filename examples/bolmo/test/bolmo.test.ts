import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { BoundaryEmittingLM, LinearHead, Rng } from '@bytelm/core';
import { openCheckpoint, saveSafetensors, saveShards, stateDict } from '@bytelm/core/io';
import { useBackend } from '@bytelm/core/testing';
import { BoundaryPredictor } from '@bytelm/dynamic-chunking';
import { BOLMO_PRESETS, createBolmo, findBolmo, loadBolmo, parameterShapes, parseBolmoConfig, SuffixTrie } from '../src/index.js';
import { TINY, tinyModel, TOY_TOKENIZER } from './tiny-models.js';

const total = (shapes: Map<string, number[]>) => [...shapes.values()].reduce((sum, s) => sum + s.reduce((a, b) => a * b, 1), 0);

describe('Bolmo', () => {
  beforeAll(() => useBackend('cpu'));

  it('presets have as many parameters as published', () => {
    expect(total(parameterShapes(BOLMO_PRESETS['bolmo-1b']!.config))).toBe(1_468_911_776);
    expect(total(parameterShapes(BOLMO_PRESETS['bolmo-7b']!.config))).toBe(7_633_084_576);
    expect(BOLMO_PRESETS['bolmo-7b']!.config.body.windows.slice(0, 4)).toEqual([4095, 4095, 4095, -1]);
  });

  it('configurations: published defaults, and every problem at once', () => {
    const { body, ...rest } = parseBolmoConfig({ ...TINY, layer_types: undefined, rope_theta: undefined, num_hidden_layers: 4, surprise: 1 });
    expect([body.theta, body.normEps, body.windows]).toEqual([500_000, 1e-6, [2, 2, 2, -1]]);
    expect([rest.lookahead, rest.threshold, rest.local.normEps, rest.unknownKeys]).toEqual([1, 'sample:0', 1e-5, ['surprise']]);
    expect(parseBolmoConfig({ ...TINY, add_expanded_embeddings: false }).subwordVocabSize).toBe(0);
    expect(() => parseBolmoConfig({ ...TINY, vocab_size: 512, hidden_size: -1, num_local_heads: 0.5, boundary_predictor_lookahead: 2 })).toThrow(/vocab_size: expected 520, got 512.*hidden_size.*boundary_predictor_lookahead: expected 0 or 1, got 2.*num_local_heads/);
    expect(() => parseBolmoConfig({ ...TINY, model_type: 'olmo2' })).toThrow(/model_type: expected "bolmo", got "olmo2"/);
  });

  it('refuses parts that do not fit', async () => {
    const config = parseBolmoConfig(TINY);
    expect(() => createBolmo(config)).toThrow(/needs the subword vocabulary/);
    expect(() => createBolmo(config, { trie: new SuffixTrie(Array.from({ length: 341 }, (_, i) => [i % 260])) })).toThrow(/has 341 entries, the table 340 rows/);
    await expect(loadBolmo({ name: 'here', config: { ...config, tokenizer: '/nowhere' }, weights: null })).rejects.toThrow(/here: expected the subword tokenizer.*"\/nowhere"/);
    const { parts } = await tinyModel();
    expect(() => new BoundaryEmittingLM({ ...parts, head: new LinearHead({ vocabSize: 520, dModel: 32 }) })).toThrow(/which needs a head that emits boundaries/);
    expect(() => new BoundaryEmittingLM({ ...parts, head: new LinearHead({ vocabSize: 600, dModel: 32, boundaryFrom: 260 }) })).toThrow(/as many for bytes that end a chunk, got 600/);
    expect(() => new BoundaryEmittingLM({ ...parts, chunker: new BoundaryPredictor({ dModel: 32, lookahead: 2 }) })).toThrow(/look-ahead of at most 1 byte, got 2/);
    expect(() => parts.embed.step(Int32Array.of(2), parts.embed.initState(1))).toThrow(/no entry of the subword vocabulary ends with id 2/);
  });

  it('loads by name from one file and from shards; a wrong shape names tensor and file', async () => {
    const model = await tinyModel();
    const folder = mkdtempSync(join(tmpdir(), 'bolmo-'));
    const [one, shards] = ['one', 'shards'].map((name) => join(folder, name)) as [string, string];
    for (const f of [one, shards]) {
      mkdirSync(f);
      writeFileSync(join(f, 'config.json'), JSON.stringify({ ...TINY, tokenizer_config: {} }));
      copyFileSync(join(TOY_TOKENIZER, 'tokenizer.json'), join(f, 'tokenizer.json'));
    }
    await saveSafetensors(stateDict(model), join(one, 'model.safetensors'));
    await saveShards(stateDict(model), shards, { maxShardBytes: 100_000 });
    const wanted = new Map([...model.parameters()].map(([n, v]) => [n, [...v.dataSync()]]));
    for (const f of [one, shards]) {
      const again = await loadBolmo(await findBolmo(f));
      for (const [name, v] of again.parameters()) expect([...v.dataSync()], name).toEqual(wanted.get(name));
      again.dispose();
    }
    writeFileSync(join(one, 'config.json'), JSON.stringify({ ...TINY, local_intermediate_size: 48 }));
    await expect(loadBolmo(await findBolmo(one))).rejects.toThrow(/model\.safetensors into BoundaryEmittingLM:(.|\n)*wrong shape(.|\n)*local_decoder\.layers\.0\.mlp\.down_proj\.weight/);
    const file = await openCheckpoint(join(one, 'model.safetensors'));
    expect(new Map(file.names.map((n) => [n, file.info(n).shape]))).toEqual(new Map([...parameterShapes(parseBolmoConfig(TINY))]));
    await file.close();
    model.dispose();
  });

  it('the suffix look-up finds what a plain search finds', () => {
    const rng = new Rng(3);
    const entries = [...Array.from({ length: 6 }, (_, i) => [4 + i]), ...Array.from({ length: 300 }, () => Array.from({ length: 2 + Math.floor(rng.next() * 5) }, () => 4 + Math.floor(rng.next() * 6)))];
    const trie = new SuffixTrie(entries);
    const text = Array.from({ length: 400 }, () => 4 + Math.floor(rng.next() * 6));
    for (let t = 0; t < text.length; t++) {
      const end = text.slice(0, t + 1).join();
      let best = -1;
      entries.forEach((e, i) => {
        if ((`,${end}`).endsWith(`,${e.join()}`) && (best < 0 || e.length >= entries[best]!.length)) best = i;
      });
      expect(trie.longest((back) => text[t - back] ?? -1), `position ${t}`).toBe(best);
    }
  });
});
