import * as tf from '@tensorflow/tfjs-core';
import { disposeState, Rng, setKernelPolicy, type ResidualPair } from '@bytelm/core';
import { observeDispatches } from '@bytelm/core/webgpu';
import { expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CrossAttentionBlock } from './cross-attention-block.js';
import { TransformerBlock, type TransformerBlockConfig } from './transformer-block.js';

/** What a whole block may take in a step. */
const MAX_DISPATCHES = 12;

const CONFIGS: Record<string, TransformerBlockConfig> = {
  'grouped heads, window, biases': { dModel: 24, numHeads: 4, numKvHeads: 2, windowSize: 5, rotaryDim: 4, dIntermediate: 20, bias: true },
  'three projections, pairs side by side': { dModel: 20, numHeads: 2, names: 'meta', interleaved: true, dIntermediate: 33 },
  'norms behind, norms of all heads': { dModel: 16, numHeads: 2, names: 'olmo', qkNorm: 'all-heads', dIntermediate: 24 },
  'norms of each head': { dModel: 16, numHeads: 4, numKvHeads: 1, names: 'llama', qkNorm: 'per-head', dIntermediate: 24, rotaryDim: 0 },
  'without an MLP': { dModel: 18, numHeads: 3, rotaryDim: 2 },
};

/** Keys of the dispatches of `f`; tfjs' own programs fail the test. */
function dispatchesOf(f: () => void): string[] {
  const keys: string[] = [];
  const stop = observeDispatches((call) => keys.push(call.key));
  const programs = vi.spyOn(tf.backend() as unknown as { runWebGPUProgram: (...a: never[]) => unknown }, 'runWebGPUProgram');
  f();
  stop();
  expect(programs).not.toHaveBeenCalled();
  programs.mockRestore();
  return keys;
}

describe('decoding steps on webgpu', () => {
  beforeAll(() => useBackend('webgpu'));
  afterEach(() => setKernelPolicy('auto'));

  it.each(Object.entries(CONFIGS))('of a block with %s equal the composed form in a few dispatches', async (_, config) => {
    const block = new TransformerBlock({ initStd: 0.3, ...config }, new Rng(5));
    for (const p of block.parameters().values()) if (p.rank === 1) p.assign(new Rng(p.size).uniform(p.shape, 0.5, 1.5) as never);
    const inputs = Array.from({ length: 9 }, (_, t) => {
      const rows = t % 3 === 2 ? [1] : undefined;
      const make = (seed: number) => new Rng(100 * t + seed).normal([rows ? 1 : 2, config.dModel], 1) as tf.Tensor2D;
      return { rows, pair: { hidden: make(1), residual: t === 0 ? undefined : make(2) } as ResidualPair<tf.Tensor2D> };
    });
    const run = (each: (f: () => void) => void) => {
      let state = block.initState(2);
      const outputs: tf.Tensor[] = [];
      for (const { rows, pair } of inputs)
        each(() => {
          const next = block.step(pair, state, rows);
          state = next.state;
          outputs.push(next.hidden, next.residual);
        });
      disposeState(state);
      return outputs;
    };
    // Rotary tables are made at the first step and stay.
    run((f) => f()).forEach((t) => t.dispose());
    await expectNoLeak(async () => {
      const fused = run((f) => expect(dispatchesOf(f).length).toBeLessThanOrEqual(MAX_DISPATCHES));
      setKernelPolicy('portable');
      const composed = run((f) => f());
      setKernelPolicy('auto');
      for (const [i, t] of composed.entries()) await expectClose(fused[i]!, t, { atol: 2e-5, name: `step ${Math.floor(i / 2)}, ${i % 2 ? 'residual' : 'hidden'}` });
      tf.dispose([...fused, ...composed]);
    });
  });

  it('of a cross-attention block equal the composed form in four dispatches', async () => {
    const block = new CrossAttentionBlock({ dModel: 12, numHeads: 2, slotsPerChunk: 3 }, new Rng(3));
    const chunks = new Rng(4).normal([1, 36], 1) as tf.Tensor2D;
    const pair = { hidden: new Rng(1).normal([2, 12], 1) as tf.Tensor2D, residual: new Rng(2).normal([2, 12], 1) as tf.Tensor2D };
    const state = block.remember(chunks, block.initState(2), [1]);
    const step = () => {
      const { hidden, residual } = block.step(pair, state);
      return [hidden, residual];
    };
    await expectNoLeak(async () => {
      let fused: tf.Tensor[] = [];
      expect(dispatchesOf(() => (fused = step())).length).toBe(4);
      setKernelPolicy('portable');
      const composed = step();
      for (const [i, t] of composed.entries()) await expectClose(fused[i]!, t, { atol: 1e-5 });
      tf.dispose([...fused, ...composed]);
    });
  });
});
