import * as tf from '@tensorflow/tfjs-core';
import { setKernelPolicy } from '@bytelm/core';
import { backendsForTest, expectClose, expectNoLeak, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RotaryEmbedding, rotaryFrequencies } from '../rotary-embedding.js';
import { parseRotaryScaling } from '../rotary-scaling.js';
import { applyRotary } from './rotary.js';

const CASES = ['rope_half', 'rope_half_partial', 'rope_interleaved', 'rope_interleaved_pos'];

describe.each(backendsForTest())('rotary on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(() => setKernelPolicy('auto'));

  it.each(CASES.flatMap((name) => (['auto', 'portable'] as const).map((policy) => [name, policy] as const)))('%s, %s', async (name, policy) => {
    setKernelPolicy(policy);
    const { attrs, tensors, tol } = loadCase('kernels', name);
    const x = toTensor(tensors.get('in.x')!) as tf.Tensor4D;
    const host = tensors.get('in.positions')!;
    const rope = new RotaryEmbedding({ rotaryDim: attrs.rotary_dim ?? x.shape[3], theta: attrs.theta, interleaved: attrs.interleaved });
    const perRow = host.shape.length === 2;
    const at = perRow ? { positions: toTensor(host) as tf.Tensor2D, max: Math.max(...host.values) } : host.values[0]!;
    if (!perRow) host.values.forEach((p, i) => expect(p).toBe(host.values[0]! + i));
    const { value, grad } = tf.valueAndGrad((a) => rope.apply(a as tf.Tensor4D, at))(x, toTensor(tensors.get('cot.y')!) as tf.Tensor4D);
    await expectClose(value, toTensor(tensors.get('out.y')!), { atol: tol['out.y']!, rtol: 0 });
    await expectClose(grad, toTensor(tensors.get('grad.x')!), { atol: tol['grad.x']!, rtol: 0 });
    rope.dispose();
  });

  it('keeps tables between calls and frees them with the last user', async () => {
    const x = tf.randomNormal([1, 300, 2, 8]) as tf.Tensor4D;
    await expectNoLeak(() => {
      const [a, b] = [new RotaryEmbedding({ rotaryDim: 8, theta: 77 }), new RotaryEmbedding({ rotaryDim: 8, theta: 77 })];
      tf.dispose([a.apply(x), b.apply(x), a.apply(x, 900)]);
      expect(a.tables(1).cos).toBe(b.tables(1200).cos);
      a.dispose();
      a.dispose();
      b.apply(x).dispose();
      b.dispose();
    });
  });
});

describe('rotary', () => {
  beforeAll(() => useBackend('cpu'));

  it('refuses positions outside the tables and heads that are too narrow', () => {
    const { cos, sin } = new RotaryEmbedding({ rotaryDim: 8 }).tables(10);
    expect(() => applyRotary(tf.zeros([1, 1, 1, 6]), { cos, sin })).toThrow(/at most 6 \/ 2 pairs/);
    expect(() => applyRotary(tf.zeros([1, 10, 1, 8]), { cos, sin, offset: cos.shape[0] - 5 })).toThrow(/expected rows for positions/);
    expect(() => new RotaryEmbedding({ rotaryDim: 7 })).toThrow(/positive even number/);
  });

  it('scales frequencies', () => {
    const plain = rotaryFrequencies({ rotaryDim: 128, theta: 500000 });
    const linear = rotaryFrequencies({ rotaryDim: 128, theta: 500000, scaling: { type: 'linear', factor: 4 } });
    linear.forEach((f, i) => expect(f).toBeCloseTo(plain[i]! / 4, 12));
    const llama = rotaryFrequencies({ rotaryDim: 128, theta: 500000, scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192 } });
    llama.forEach((f, i) => {
      const wave = (2 * Math.PI) / plain[i]!;
      if (wave < 8192 / 4) expect(f).toBe(plain[i]);
      else if (wave > 8192) expect(f).toBeCloseTo(plain[i]! / 8, 15);
      else expect(f > plain[i]! / 8 && f < plain[i]!).toBe(true);
    });
  });

  it('YaRN keeps fast pairs, stretches slow ones and multiplies the tables', async () => {
    const config = { rotaryDim: 128, theta: 500000 };
    const scaling = { type: 'yarn', factor: 8, originalMaxPositions: 8192 } as const;
    const plain = rotaryFrequencies(config);
    const yarn = rotaryFrequencies({ ...config, scaling });
    yarn.forEach((f, i) => {
      const turns = (8192 * plain[i]!) / (2 * Math.PI);
      // The ends are rounded outwards to whole pairs.
      if (turns > 32 * 1.3) expect(f).toBe(plain[i]);
      else if (turns < 1 / 1.3) expect(f).toBeCloseTo(plain[i]! / 8, 15);
      else expect(f >= plain[i]! / 8 && f <= plain[i]!).toBe(true);
    });
    expect([...yarn].some((f, i) => f > 1.01 * (plain[i]! / 8) && f < 0.99 * plain[i]!)).toBe(true);
    const rope = new RotaryEmbedding({ ...config, scaling });
    const half = new RotaryEmbedding({ ...config, scaling: { ...scaling, attentionFactor: 0.5 } });
    expect((await rope.tables(1).cos.data())[0]).toBeCloseTo(0.1 * Math.log(8) + 1, 6);
    expect((await half.tables(1).cos.data())[0]).toBe(0.5);
    rope.dispose();
    half.dispose();
  });

  it('reads scalings as published', () => {
    expect(parseRotaryScaling(null)).toBeUndefined();
    expect(parseRotaryScaling({ rope_type: 'default', rope_theta: 1e4 })).toBeUndefined();
    expect(parseRotaryScaling({ type: 'linear', factor: 2 })).toEqual({ type: 'linear', factor: 2 });
    expect(parseRotaryScaling({ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 })).toEqual({
      type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192,
    });
    expect(parseRotaryScaling({ rope_type: 'yarn', factor: 8, attention_factor: null }, 4096)).toEqual({ type: 'yarn', factor: 8, originalMaxPositions: 4096 });
    expect(() => parseRotaryScaling({ rope_type: 'longrope', factor: 8 })).toThrow(/expected 'default', 'linear', 'llama3' or 'yarn', got "longrope"/);
    expect(() => parseRotaryScaling({ rope_type: 'yarn' })).toThrow(/factor: expected a positive number, got undefined; originalMaxPositions/);
    expect(() => new RotaryEmbedding({ rotaryDim: 8, scaling: { type: 'llama3', factor: 8, lowFreqFactor: 4, highFreqFactor: 4, originalMaxPositions: 1 } })).toThrow(/highFreqFactor 4 is not above/);
  });
});
