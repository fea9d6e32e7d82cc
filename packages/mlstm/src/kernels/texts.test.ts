import { wgslTexts } from '@bytelm/core/testing';
import { describe, expect, it } from 'vitest';
import { resolveMLSTMConfig } from '../config.js';
import { cellGradWebGpu } from './cell/webgpu-grad.js';
import { cellWebGpu } from './cell/webgpu.js';
import { headNormGradWebGpu, headNormWebGpu } from './head-norm/webgpu.js';
import { stepWebGpu } from './step/webgpu.js';

const [L, H, K, V] = [70, 2, 4, 8];
const keys = { shape: [1, L, H, K] };
const values = { shape: [1, L, H, V] };
const gates = { shape: [1, L, H] };
const cell = { q: keys, k: keys, v: values, inputGate: gates, forgetGate: gates, documentIds: { shape: [1, L], dtype: 'int32' as const } };
const attrs = { chunkSize: 64, recurrent: false, eps: 1e-6, publishedGradient: false, returnFinalState: false };

describe('WGSL of mlstm', () => {
  it('cell', () => {
    expect(wgslTexts(cellWebGpu, cell, attrs)).toMatchSnapshot();
    expect(Object.keys(wgslTexts(cellGradWebGpu, { ...cell, h: values, dh: values }, attrs))).toMatchSnapshot();
  });

  it('head norm', () => {
    const norm = { h: { shape: [3, H, V] }, gate: { shape: [3, H * V] }, weight: { shape: [H * V] } };
    expect(wgslTexts(headNormWebGpu, norm, { eps: 1e-6 })).toMatchSnapshot();
    expect(wgslTexts(headNormGradWebGpu, { ...norm, dy: norm.gate }, { eps: 1e-6 })).toMatchSnapshot();
  });

  it('decode step of a whole block', () => {
    const c = resolveMLSTMConfig({ dModel: 16, numHeads: 2 });
    const [D, F] = [16, 24];
    const inputs = {
      hidden: { shape: [1, D] }, norm: { shape: [D] }, C: { shape: [1, 2, c.keyDim, c.valueDim] }, n: { shape: [1, 2, c.keyDim] }, m: { shape: [1, 2] },
      q: { shape: [c.qkDim, D] }, k: { shape: [c.qkDim, D] }, v: { shape: [c.vDim, D] }, outputGate: { shape: [c.vDim, D] },
      inputGate: { shape: [2, D] }, inputBias: { shape: [2] }, forgetGate: { shape: [2, D] }, forgetBias: { shape: [2] }, headNorm: { shape: [c.vDim] },
      outProj: { shape: [D, c.vDim] }, norm2: { shape: [D] }, gateProj: { shape: [F, D] }, upProj: { shape: [F, D] }, downProj: { shape: [D, F] },
    };
    const texts = wgslTexts(stepWebGpu, inputs, { config: c, normEps: 1e-6 });
    expect(Object.fromEntries(Object.entries(texts).filter(([key]) => key.startsWith('mlstm')))).toMatchSnapshot();
  });
});
