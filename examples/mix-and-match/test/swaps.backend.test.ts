import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { disposeState, HierarchicalLM, SequenceContext } from '@bytelm/core';
import { AdamW } from '@bytelm/core/train';
import { backendsForTest, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { batchOf, expectGradients, expectPrefillThenSteps, expectStepsEqual, free, lossOf } from '@bytelm/example-shared/testing';
import { SWAPS, swapByName, type Built, type Material } from '../src/index.js';
import { fullPass, textRows, tinyMaterial, tinySwap } from './tiny.js';

const BOUND = 2e-4;

describe.each(backendsForTest())('swaps on %s', (backend) => {
  let material: Material;
  beforeAll(async () => {
    await useBackend(backend);
    material = await tinyMaterial();
  });
  afterAll(() => material.entropy.model.dispose());
  const slow = backend === 'cpu' || backend === 'webgpu';

  describe.each(SWAPS.map((s) => s.name))('%s', (name) => {
    const build = (): Built => tinySwap(swapByName(name), material);

    it('gradients are those of finite differences', async () => {
      const built = build();
      const { model } = built;
      const every = Math.ceil(model.parameters().size / (slow ? 3 : 8));
      const chosen = (key: string, i: number) => i % every === 1 || /q_proj_layer/.test(key);
      await expectGradients(model, batchOf(textRows(built, [26, 15])), { eps: 4e-3, relative: 0.03, chosen });
      model.dispose();
    });

    it('the loss falls on a fixed batch, and nothing leaks', async () => {
      const built = build();
      const { model } = built;
      const optimizer = new AdamW([{ params: model.parameters() }]);
      const batch = batchOf(textRows(built, [33, 20]));
      const losses: number[] = [];
      const step = async (): Promise<void> => {
        const made = await model.lossAndGrads(batch);
        losses.push((await made.loss.data())[0]!);
        optimizer.apply(made.grads, { lr: 3e-3 });
        free(made);
      };
      // The first one makes the optimizer's averages, which stay.
      await step();
      await expectNoLeak(async () => {
        for (let i = 0; i < 4; i++) await step();
      });
      expect(losses[4]!, losses.join(', ')).toBeLessThan(losses[0]! - 0.1);
      optimizer.dispose();
      model.dispose();
    });

    it('byte by byte = full pass at every position, rows cut at different places', async () => {
      const built = build();
      const { model } = built;
      const n = { cpu: 36, webgpu: 24, wasm: 72, tensorflow: 72 }[backend];
      const rows = textRows(built, [n, n]);
      const full = [await fullPass(model, rows[0]!), await fullPass(model, rows[1]!)];
      const cuts = full.map(({ boundaries }) => boundaries.reduce((a, b) => a + b, 0));
      for (const c of cuts) expect(c).toBeGreaterThan(2);
      for (const c of cuts) expect(c).toBeLessThan(n);
      expect(full[0]!.boundaries).not.toEqual(full[1]!.boundaries);
      await expectStepsEqual(model, rows, full.map((f) => f.logits), model.initState(2), { bound: BOUND, boundaries: full.map((f) => f.boundaries) });
      model.dispose();
    });

    it('prompts of different lengths, then some rows only = full pass', async () => {
      const built = build();
      const { model } = built;
      await expectPrefillThenSteps(model, textRows(built, [24, 20]), [14, 3], { bound: BOUND, every: [2, 1] });
      model.dispose();
    });
  });

  it("cross-entropy reaches a BLT's router through H-Net's upsampler only", async () => {
    const largest = async (name: string): Promise<number> => {
      const built = tinySwap(swapByName(name), material);
      const { parts, options } = built.model;
      const model = new HierarchicalLM(parts, { ...options, auxiliaryLoss: undefined });
      const made = await model.lossAndGrads(batchOf(textRows(built, [26, 15])));
      const key = [...model.parameters().keys()].find((k) => k.endsWith('q_proj_layer.weight'))!;
      const values = Float32Array.from((await made.grads.get(key)?.data()) ?? [0]);
      free(made);
      model.dispose();
      return values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    };
    expect(await largest('blt-routing')).toBe(0);
    expect(await largest('blt-routing-smoothing')).toBeGreaterThan(1e-5);
  });

  it('patches that were made ahead of training: the inner stage still cuts for itself', async () => {
    const built = tinySwap(swapByName('blt-hnet-main'), material);
    const { model } = built;
    const rows = textRows(built, [30, 30]);
    const batch = batchOf(rows);
    const inputs = batchOf(rows.map((r) => r.slice(0, 29)));
    await expectNoLeak(async () => {
      const ctx = new SequenceContext(2, 29, inputs);
      const [segmentation, ...inner] = await model.plan(ctx);
      expect(await lossOf(model, { ...batch, segmentation: segmentation! })).toBeCloseTo(await lossOf(model, batch), 6);
      for (const s of inner) s.dispose();
      ctx.dispose();
    });
    model.dispose();
  });

  it('steps leak nothing', async () => {
    const built = tinySwap(swapByName('blt-hnet-main'), material);
    const { model } = built;
    const rows = textRows(built, [30, 30]);
    const decode = async (): Promise<void> => {
      let state = model.initState(2);
      for (let t = 0; t < (slow ? 12 : 30); t++) {
        const some = t % 3 === 0 ? [1] : undefined;
        const out = await model.step(Int32Array.from(some ?? [0, 1], (b) => rows[b]![t]!), state, some);
        out.logits.dispose();
        state = out.state;
      }
      disposeState(state);
    };
    // The first pass makes the rotary tables, which stay.
    await decode();
    await expectNoLeak(decode);
    model.dispose();
  });
});
