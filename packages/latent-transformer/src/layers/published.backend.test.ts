import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { crossEntropy, embedding, linear, SequenceContext } from '@bytelm/core';
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
  /** Documents end within rows when the loss is taken. */
  documents: boolean;
}

const json = (folder: string, file = 'config.json') => JSON.parse(readFileSync(join(fixtureRoot(), folder, file), 'utf8'));
/** EOS, which is id 2 here, ends a document. */
const EOS = 2;

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
    prefix: 'model', head: 'lm_head', logits: 'logits', atol: 1e-4, documents: false,
  };
}

function bltPatcher(folder: string): Published {
  const c = json(folder).patcher_config;
  return {
    config: {
      names: 'llama', dModel: c.hidden_size, numLayers: c.num_hidden_layers, numHeads: c.num_attention_heads, numKvHeads: c.num_key_value_heads, interleaved: true,
      dIntermediate: c.intermediate_size, theta: c.rope_parameters.rope_theta, normEps: c.rms_norm_eps, finalNorm: 'norm', windowSize: c.sliding_window - 1,
    },
    prefix: 'model.patcher', head: 'model.patcher.lm_head', logits: 'logits_no_document_reset', atol: 5e-5, documents: true,
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

  function load(folder: string, read: (folder: string) => Published) {
    const { config, prefix, head, ...rest } = read(folder);
    const weights = readGolden(join(fixtureRoot(), folder, 'model.safetensors'));
    const io = readGolden(join(fixtureRoot(), folder, 'io.safetensors'));
    const model = new LatentTransformer(config);
    const parameters = model.parameters(prefix);
    const around = [`${prefix}.embed_tokens.weight`, `${head}.weight`];
    expect([...parameters.keys(), ...around].sort()).toEqual([...weights.keys()].sort());
    for (const name of around) parameters.set(name, tf.variable(tf.zeros(weights.get(name)!.shape)));
    for (const [name, p] of parameters) p.assign(toTensor(weights.get(name)!));
    const [table, out] = around.map((n) => parameters.get(n)! as tf.Tensor as tf.Tensor2D) as [tf.Tensor2D, tf.Tensor2D];
    const ids = io.get('input_ids')!;
    const [B, L] = ids.shape as [number, number];
    return { ...rest, model, parameters, table, out, io, ids, B, L };
  }

  it.each(CASES)('%s: loads by name; forward and steps give its logits', async (folder, read) => {
    const { model, table, out, io, ids, B, L, logits, atol } = load(folder, read);
    const expected = toTensor(io.get(logits)!) as tf.Tensor3D;
    const x = embedding(table, toTensor(ids) as tf.Tensor2D) as tf.Tensor3D;
    await expectClose(linear(model.forward(x, new SequenceContext(B, L)), out), expected, { atol, rtol: 0 });
    let state = model.initState(B);
    for (let t = 0; t < L; t++) {
      const step = model.step(tf.reshape(tf.slice(x, [0, t, 0], [B, 1, model.dModel]), [B, model.dModel]), state);
      state = step.state;
      await expectClose(linear(step.y, out), tf.reshape(tf.slice(expected, [0, t, 0], [B, 1, out.shape[0]]), [B, out.shape[0]]), { atol, rtol: 0, name: `step ${t}` });
    }
    model.dispose();
  });

  it.each(CASES)('%s: its loss and gradients', async (folder, read) => {
    const { model, parameters, table, out, io, ids, B, L, documents } = load(folder, read);
    // Where no targets are given, each position's is the next id, and the last one has none.
    const shifted = ids.values.map((_, i) => ((i + 1) % L ? ids.values[i + 1]! : -100));
    const targets = tf.tensor1d((io.get('targets')?.values ?? shifted) as Int32Array, 'int32');
    const eosBefore = Int32Array.from(ids.values, (_, i) => ids.values.slice(i - (i % L), i).filter((id) => id === EOS).length);
    const ctx = new SequenceContext(B, L, { documentIds: documents ? eosBefore : undefined });
    const { value, grads } = tf.variableGrads(() => {
      const y = model.forward(embedding(table, toTensor(ids) as tf.Tensor2D) as tf.Tensor3D, ctx);
      return crossEntropy(tf.reshape(linear(y, out), [B * L, out.shape[0]]), targets) as tf.Scalar;
    }, [...parameters.values()]);
    expect((await value.data())[0]).toBeCloseTo(json(folder, 'expected.json').loss, 4);
    const golden = [...io].filter(([name]) => name.startsWith('grad.'));
    expect(golden.length).toBeGreaterThan(5);
    for (const [name, g] of golden) await expectClose(grads[parameters.get(name.slice('grad.'.length))!.name]!, toTensor(g), { atol: 1e-5, rtol: 1e-4, name });
    model.dispose();
  });
});
