import { describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll } from 'vitest';
import { initBackend, Rng } from '@bytelm/core';
import { flopsPerByte } from './flops.js';
import { inspectConfig } from './inspect-model.js';
import { createHNet } from './model.js';
import { parameterShapes } from './parameter-shapes.js';
import { HNET_PRESETS } from './presets.js';
import { SMALL } from './testing/run.js';
import type { HNetConfig } from './config.js';

const NESTED: HNetConfig = {
  ...SMALL,
  arch_layout: ['m1', ['T1m1', ['t1M1'], 'm1'], 'm1'],
  d_model: [32, 32, 64],
  d_intermediate: [0, 100, 128],
  attn_cfg: { num_heads: [2, 2, 2], rotary_emb_dim: [16, 16, 16], window_size: [7, 5, -1] },
};

describe('parameterShapes', () => {
  beforeAll(() => initBackend('cpu'));

  it.each([['one stage', SMALL], ['two stages', NESTED], ['no stage', { ...SMALL, arch_layout: ['m1T1'], d_model: [32], d_intermediate: [128], attn_cfg: { num_heads: [2], rotary_emb_dim: [16], window_size: [-1] } } as HNetConfig], ['tied', { ...SMALL, tie_embeddings: true }]])(
    'names and shapes are those of the model: %s',
    (_, config) => {
      const model = createHNet(config, { rng: new Rng(0) });
      const made = [...model.parameters()].map(([name, v]) => `${name} ${v.shape}`).sort();
      expect([...parameterShapes(config)].map(([name, shape]) => `${name} ${shape}`).sort()).toEqual(made);
      model.dispose();
      expect(tf.memory().numTensors).toBe(0);
    },
  );

  // Parameter and tensor counts measured on the published configurations (spec of the architecture, section 2).
  it.each([
    ['hnet_1stage_L', 214, 679_405_312],
    ['hnet_1stage_XL', 226, 1_270_833_920],
    ['hnet_2stage_L', 328, 874_315_264],
    ['hnet_2stage_XL', 335, 1_603_492_224],
    ['hnet_2stage_XL_chinese', 353, 1_755_285_888],
    ['hnet_2stage_XL_code', 341, 1_654_090_112],
  ])('%s has %i tensors and %i parameters', (name, tensors, parameters) => {
    const preset = HNET_PRESETS[name]!;
    const report = inspectConfig({ name, config: preset.config, ratioTargets: preset.ratioTargets, weights: null });
    expect([report.tensors.length, report.parameters]).toEqual([tensors, parameters]);
  });

  it('multipliers are those of the paper for the published models', () => {
    const of = (name: string) => {
      const { config, ratioTargets } = HNET_PRESETS[name]!;
      return inspectConfig({ name, config, ratioTargets, weights: null }).stages.map((s) => Number(s.lrMultiplier.toFixed(3)));
    };
    expect(of('hnet_1stage_XL')).toEqual([3.033, 0.876]);
    expect(of('hnet_2stage_L')).toEqual([2.627, 1.517, 0.715]);
  });
});

describe('flopsPerByte', () => {
  // 3 x forward in MFLOP at the attained bytes per chunk, as the PyTorch models of the benchmark count theirs.
  it.each([
    ['llamabyte-8M', [], 53.5],
    ['mambabyte-8M', [], 59.6],
    ['demo', [4.6], 5.6],
    ['hnet-1stage-8M', [4.5], 19.1],
    ['hnet-2stage-12M', [2.7, 2.5], 24.0],
    ['hnet-1stage-40M', [4.6], 81.4],
  ])('training %s costs %s x … = %f MFLOP a byte', (name, positionsPerChunk, mflop) => {
    expect((3 * flopsPerByte(HNET_PRESETS[name]!.config, { positionsPerChunk })) / 1e6 / mflop).toBeCloseTo(1, 1);
  });

  it('fewer chunks cost less, a longer context only where attention sees it', () => {
    const { config } = HNET_PRESETS.demo!;
    const at = (n: number, to = 512) => flopsPerByte(config, { positionsPerChunk: [n], to });
    expect(at(8)).toBeLessThan(at(4));
    const mamba = HNET_PRESETS['mambabyte-8M']!.config;
    expect(flopsPerByte(mamba, { positionsPerChunk: [], to: 4096 })).toBe(flopsPerByte(mamba, { positionsPerChunk: [] }));
  });
});
