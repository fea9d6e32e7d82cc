import { wgslTexts } from '@bytelm/core/testing';
import { describe, expect, it } from 'vitest';
import { probabilityGradWebGpu, probabilityWebGpu } from './boundary-probability/webgpu.js';
import { compactWebGpu } from './compact/webgpu.js';
import { gateGradWebGpu } from './confidence-gate/webgpu.js';
import { emaGatherGradWebGpu, emaGatherWebGpu } from './ema-gather/webgpu.js';

const [B, M, D, L] = [1, 130, 8, 400];
const x = { shape: [B, M, D] };
const ema = { x, p: { shape: [B, M] }, documentIds: { shape: [B, M], dtype: 'int32' as const }, index: { shape: [B, L], dtype: 'int32' as const } };
const attrs = { min: 0.1, max: 0.9 };

describe('WGSL of dynamic-chunking', () => {
  it('moving average and its gather', () => {
    expect(wgslTexts(emaGatherWebGpu, ema, attrs)).toMatchSnapshot();
    expect(wgslTexts(emaGatherGradWebGpu, { ...ema, z: x, dy: { shape: [B, L, D] } }, attrs)).toMatchSnapshot();
  });

  it('routing, gate and compaction', () => {
    const row = { shape: [9, D] };
    expect(wgslTexts(probabilityWebGpu, { q: row, k: row }, {})).toMatchSnapshot();
    expect(wgslTexts(probabilityGradWebGpu, { q: row, k: row, p: { shape: [9] }, dp: { shape: [9] } }, {})).toMatchSnapshot();
    expect(wgslTexts(gateGradWebGpu, { u: x, dy: x, mask: { shape: [B, M] } }, {})).toMatchSnapshot();
    expect(wgslTexts(compactWebGpu, { mask: { shape: [B, L] } }, { maxChunks: M })).toMatchSnapshot();
  });
});
