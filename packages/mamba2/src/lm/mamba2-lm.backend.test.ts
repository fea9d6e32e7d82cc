import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argmax, disposeState, Rng, SequenceContext } from '@bytelm/core';
import { openSafetensors, parseConfig, saveSafetensors, stateDict } from '@bytelm/core/io';
import { backendsForTest, expectClose, expectNoLeak, fixtureRoot, readGolden, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Mamba2State } from '../modules/mamba2.js';
import { fromPublishedConfig } from './lm-config.js';
import { HF_KEY_MAP, Mamba2LM } from './mamba2-lm.js';

const folder = (name: string) => join(fixtureRoot(), 'kernels', name);
const weights = (name: string) => (name.startsWith('lm_ssm') ? 'pytorch_model.safetensors' : 'model.safetensors');
const load = (name: string) => Mamba2LM.fromPretrained(folder(name), { weights: weights(name) });
/** lm_ssm_tied_g1 holds the weights of lm_hf_tied_g1 and has no expectations of its own. */
const expectedFolder = (name: string) => folder(existsSync(join(folder(name), 'expected.json')) ? name : 'lm_hf_tied_g1');
const expectations = async (name: string) => ({
  golden: readGolden(join(expectedFolder(name), 'expected.safetensors')),
  json: JSON.parse(await readFile(join(expectedFolder(name), 'expected.json'), 'utf8')) as { loss: number; prompt: number[]; greedy: number[] },
});

describe.each(backendsForTest())('Mamba2LM on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(['lm_hf', 'lm_hf_bias_limit', 'lm_hf_tied_g1', 'lm_ssm_tied_g1'])('%s: logits, states, loss, every gradient, greedy steps', async (name) => {
    const model = await load(name);
    const { golden, json } = await expectations(name);
    const ids = golden.get('in.ids')!.values as Int32Array;
    const [B, L] = golden.get('in.ids')!.shape as [number, number];
    const ctx = new SequenceContext(B, L, { ids });

    const { logits, state } = await model.prefill(ids, model.initState(B), ctx);
    await expectClose(logits, golden.get('out.logits')!.values, { atol: 2e-4, rtol: 0, name: 'logits' });
    for (const [i, s] of (state.backbone as { layers: Mamba2State[] }).layers.entries()) {
      await expectClose(s.conv, golden.get(`out.conv_state.${i}`)!.values, { atol: 1e-4, rtol: 0, name: `conv ${i}` });
      await expectClose(s.ssm, golden.get(`out.ssm_state.${i}`)!.values, { atol: 1e-4, rtol: 0, name: `ssm ${i}` });
    }
    disposeState(state);

    const { loss, grads } = await model.lossAndGrads({ ids, batch: B, length: L });
    expect(Math.abs((await loss.data())[0]! - json.loss)).toBeLessThan(1e-4);
    for (const [key, g] of grads) {
      const expected = golden.get(`grad.${key}`) ?? golden.get(`grad.${HF_KEY_MAP.toFile(key)}`)!;
      const largest = Array.from(expected.values).reduce((a, v) => Math.max(a, Math.abs(v)), 0);
      await expectClose(g, expected.values, { atol: 1e-4 * largest, rtol: 0, name: key });
    }

    const prompt = Int32Array.from(json.prompt);
    const read = await model.prefill(prompt, model.initState(1), new SequenceContext(1, prompt.length, { ids: prompt }));
    let decoding = read.state;
    let row: ArrayLike<number> = (await read.logits.data()).slice(-model.vocabSize);
    const chosen: number[] = [];
    const rows = golden.get('out.step_logits')!.values as Float32Array;
    for (let i = 0; i < json.greedy.length; i++) {
      await expectClose(tf.tensor1d(Array.from(row)), rows.subarray(i * model.vocabSize, (i + 1) * model.vocabSize), { atol: 2e-4, rtol: 0, name: `step ${i}` });
      chosen.push(argmax(row as Float32Array));
      const out = await model.step(Int32Array.of(chosen.at(-1)!), decoding);
      decoding = out.state;
      row = await out.logits.data();
    }
    expect(chosen).toEqual(json.greedy);
    model.dispose();
  });

  it('reads both spellings of infinity', async () => {
    for (const file of ['config.json', 'config.v4.json']) {
      const json = parseConfig(await readFile(join(folder('lm_hf'), file), 'utf8'), file);
      expect(fromPublishedConfig(json).dtLimit).toEqual([0, Infinity]);
    }
  });

  it('exports what it imports, in either layout, and reads the prefix `model.`', async () => {
    const model = await load('lm_hf_tied_g1');
    const dir = await mkdtemp(join(tmpdir(), 'bytelm-'));
    try {
      for (const [file, prefix, map] of [['a', undefined, HF_KEY_MAP], ['b', 'model', undefined]] as const) {
        const path = join(dir, `${file}.safetensors`);
        await saveSafetensors(stateDict(model, { ...(prefix && { prefix }), ...(map && { map }) }), path);
        const other = new Mamba2LM(model.config);
        const source = await openSafetensors(path);
        await other.load(source);
        await source.close();
        const theirs = other.parameters();
        for (const [name, v] of model.parameters()) await expectClose(theirs.get(name)!, v as tf.Tensor, { atol: 0, rtol: 0, name });
        other.dispose();
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('trains from scratch, with an MLP, without leaks', async () => {
    const model = new Mamba2LM({ dModel: 16, headDim: 8, dState: 8, nLayers: 2, vocabSize: 32, dIntermediate: 20 }, new Rng(1));
    expect([...model.parameters().keys()]).toEqual(
      expect.arrayContaining(['backbone.layers.1.norm2.weight', 'backbone.layers.1.mlp.fc1.weight', 'backbone.layers.1.mlp.fc2.weight', 'lm_head.weight']),
    );
    expect(model.parameters().get('backbone.layers.0.mlp.fc1.weight')!.shape).toEqual([256, 16]);
    const ids = Int32Array.from({ length: 40 }, (_, i) => (i * 7) % 32);
    const losses: number[] = [];
    const train = async () => {
      const { loss, grads, parts } = await model.lossAndGrads({ ids, batch: 2, length: 20 });
      losses.push((await loss.data())[0]!);
      for (const [name, g] of grads) tf.tidy(() => model.parameters().get(name)!.assign(tf.sub(model.parameters().get(name)!, tf.mul(g, 0.1))));
      tf.dispose([loss, ...grads.values(), ...Object.values(parts).filter((p) => p instanceof tf.Tensor)]);
    };
    await train();
    await expectNoLeak(async () => {
      for (let i = 0; i < 8; i++) await train();
    });
    expect(losses.at(-1)!).toBeLessThan(0.9 * losses[0]!);
    model.dispose();
  });

  it('refuses a folder without config', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'bytelm-'));
    try {
      await writeFile(join(dir, 'model.safetensors'), await readFile(join(folder('lm_hf'), 'model.safetensors')));
      await expect(Mamba2LM.fromPretrained(dir)).rejects.toThrow(/no config\.json/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('published configs', () => {
  const hf = { model_type: 'mamba2', hidden_size: 24, num_heads: 6, head_dim: 8, num_hidden_layers: 1, vocab_size: 7 };
  it('of transformers: n_groups defaults to 8, contradictions are named', () => {
    expect(fromPublishedConfig(hf)).toMatchObject({ numGroups: 8, dModel: 24, tieEmbeddings: false });
    expect(() => fromPublishedConfig({ ...hf, num_heads: 5, hidden_act: 'gelu' })).toThrow(/2 problems.*= 48, got 5 \* 8.*hidden_act/s);
    expect(fromPublishedConfig({ ...hf, torch_dtype: 'bfloat16' }).extra).toMatchObject({ torch_dtype: 'bfloat16' });
  });
  const ssm = { d_model: 32, n_layer: 2, vocab_size: 61, ssm_cfg: { layer: 'Mamba2' } };
  it('of state-spaces: Mamba-1, hybrids and unknown options are refused', () => {
    expect(fromPublishedConfig(ssm)).toMatchObject({ vocabSize: 64, numGroups: 1, tieEmbeddings: true });
    expect(() => fromPublishedConfig({ ...ssm, ssm_cfg: {} })).toThrow(/Mamba-1/);
    expect(() => fromPublishedConfig({ ...ssm, attn_layer_idx: [1] })).toThrow(/attention layers/);
    expect(() => fromPublishedConfig({ ...ssm, ssm_cfg: { layer: 'Mamba2', dstate: 3 } })).toThrow(/unknown key `ssm_cfg.dstate`/);
  });
  it('of Codestral', () => {
    expect(fromPublishedConfig({ dim: 4096, n_layers: 64, vocab_size: 32768, n_groups: 8, tie_embeddings: false })).toMatchObject({ dModel: 4096, nLayers: 64, numGroups: 8 });
  });
  it('that are none', () => expect(() => fromPublishedConfig({ width: 3 })).toThrow(/expected the config of a Mamba-2 model/));
});
