import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { embedding, linear, SequenceContext } from '@bytelm/core';
import { backendsForTest, expectClose, fixtureRoot, readGolden, toTensor, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseRotaryScaling } from '../rotary-scaling.js';
import { LatentTransformer, type LatentTransformerConfig } from './latent-transformer.js';

interface Published {
  config: LatentTransformerConfig;
  /** Prefix of the layers, and names of the tables around them. */
  prefix: string;
  head: string;
  logits: string;
  atol: number;
}

const json = (folder: string) => JSON.parse(readFileSync(join(fixtureRoot(), folder, 'config.json'), 'utf8'));

function olmo(folder: string): Published {
  const c = json(folder);
  const sliding = (c.layer_types ?? []).map((t: string) => t === 'sliding_attention');
  const scaling = parseRotaryScaling(c.rope_scaling) ?? null;
  const layers = Array.from({ length: c.num_hidden_layers }, (_, i) => sliding[i] === true);
  return {
    config: {
      names: 'olmo', qkNorm: 'all-heads', dModel: c.hidden_size, numLayers: c.num_hidden_layers, numHeads: c.num_attention_heads, numKvHeads: c.num_key_value_heads,
      dIntermediate: c.intermediate_size, theta: c.rope_theta, normEps: c.rms_norm_eps, finalNorm: 'norm',
      windowSize: layers.map((s) => (s ? c.sliding_window - 1 : -1)), rotaryScaling: layers.map((s) => (s ? null : scaling)),
    },
    prefix: 'model', head: 'lm_head', logits: 'logits', atol: 1e-4,
  };
}

function bltPatcher(folder: string): Published {
  const c = json(folder).patcher_config;
  return {
    config: {
      names: 'llama', dModel: c.hidden_size, numLayers: c.num_hidden_layers, numHeads: c.num_attention_heads, numKvHeads: c.num_key_value_heads, interleaved: true,
      dIntermediate: c.intermediate_size, theta: c.rope_parameters.rope_theta, normEps: c.rms_norm_eps, finalNorm: 'norm', windowSize: c.sliding_window - 1,
    },
    prefix: 'model.patcher', head: 'model.patcher.lm_head', logits: 'logits_no_document_reset', atol: 5e-5,
  };
}

const CASES: [string, (folder: string) => Published][] = [
  ['bolmo/olmo2_tiny', olmo],
  ['bolmo/olmo3_tiny', olmo],
  ['bolmo/olmo3_tiny_yarn', olmo],
  ['blt/entropy_model', bltPatcher],
];

describe.each(backendsForTest())('published layouts on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(CASES)('%s: loads by name; forward and steps give its logits', async (folder, read) => {
    const { config, prefix, head, logits, atol } = read(folder);
    const weights = readGolden(join(fixtureRoot(), folder, 'model.safetensors'));
    const io = readGolden(join(fixtureRoot(), folder, 'io.safetensors'));
    const model = new LatentTransformer(config);
    const own = model.parameters(prefix);
    const around = [`${prefix}.embed_tokens.weight`, `${head}.weight`];
    expect([...own.keys(), ...around].sort()).toEqual([...weights.keys()].sort());
    for (const [name, p] of own) p.assign(toTensor(weights.get(name)!));
    const [table, out] = around.map((n) => toTensor(weights.get(n)!) as tf.Tensor2D);
    const ids = io.get('input_ids')!;
    const [B, L] = ids.shape as [number, number];
    const expected = toTensor(io.get(logits)!) as tf.Tensor3D;
    const x = embedding(table!, toTensor(ids) as tf.Tensor2D) as tf.Tensor3D;
    await expectClose(linear(model.forward(x, new SequenceContext(B, L)), out!), expected, { atol, rtol: 0 });
    let state = model.initState(B);
    for (let t = 0; t < L; t++) {
      const step = model.step(tf.reshape(tf.slice(x, [0, t, 0], [B, 1, model.dModel]), [B, model.dModel]), state);
      state = step.state;
      await expectClose(linear(step.y, out!), tf.reshape(tf.slice(expected, [0, t, 0], [B, 1, out!.shape[0]]), [B, out!.shape[0]]), { atol, rtol: 0, name: `step ${t}` });
    }
    model.dispose();
  });
});
