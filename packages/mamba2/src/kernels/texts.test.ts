import { wgslTexts } from '@bytelm/core/testing';
import { describe, expect, it } from 'vitest';
import { resolveMamba2Config } from '../config.js';
import { convGradWebGpu, convWebGpu } from './conv1d/webgpu.js';
import { ssdGradWebGpu, ssdWebGpu } from './ssd/webgpu.js';
import { stepWebGpu } from './step/webgpu.js';

const conv = { x: { shape: [1, 9, 8] }, weight: { shape: [8, 4] }, bias: { shape: [8] } };
const ids = { shape: [1, 70], dtype: 'int32' as const };
const ssd = { x: { shape: [1, 70, 2, 4] }, dt: { shape: [1, 70, 2] }, A: { shape: [2] }, B: { shape: [1, 70, 1, 4] }, C: { shape: [1, 70, 1, 4] }, D: { shape: [2] }, documentIds: ids };
const attrs = { dtSoftplus: true, dtMin: 0, dtMax: Infinity, chunkSize: 64, returnFinalState: false };

describe('WGSL of mamba2', () => {
  it('convolution', () => {
    expect(wgslTexts(convWebGpu, conv, { silu: true, returnState: false })).toMatchSnapshot();
    expect(wgslTexts(convGradWebGpu, { ...conv, dy: conv.x }, { silu: true, returnState: false })).toMatchSnapshot();
  });

  it('scan', () => {
    expect(wgslTexts(ssdWebGpu, ssd, attrs)).toMatchSnapshot();
    expect(Object.keys(wgslTexts(ssdGradWebGpu, { ...ssd, dy: ssd.x }, attrs))).toMatchSnapshot();
  });

  it('decode step', () => {
    const c = resolveMamba2Config({ dModel: 8, dState: 4, headDim: 8 });
    const inputs = {
      hidden: { shape: [1, 8] }, norm: { shape: [8] }, conv: { shape: [1, 3, c.convChannels] }, ssm: { shape: [1, c.numHeads, 8, 4] },
      inProj: { shape: [c.projRows, 8] }, convWeight: { shape: [c.convChannels, 1, 4] }, convBias: { shape: [c.convChannels] }, dtBias: { shape: [c.numHeads] },
      aLog: { shape: [c.numHeads] }, D: { shape: [c.numHeads] }, gateWeight: { shape: [c.dSsm] }, outProj: { shape: [8, c.dInner] },
    };
    const texts = wgslTexts(stepWebGpu, inputs, { config: c });
    // Six dispatches; both projections are one kernel.
    expect(Object.keys(texts)).toHaveLength(5);
    expect(Object.fromEntries(Object.entries(texts).filter(([key]) => key.startsWith('mamba2')))).toMatchSnapshot();
  });
});
