import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { disposeState, HierarchicalLM, SequenceContext, type Segmentation } from '@bytelm/core';
import { AdamW, type LossAndGrads } from '@bytelm/core/train';
import { backendsForTest, expectNoLeak, maxError, useBackend } from '@bytelm/core/testing';
import { SWAPS, swapByName, type Built, type Material } from '../src/index.js';
import { fullPass, lossAtTheseCuts, padded, textRows, tinyMaterial, tinySwap } from './tiny.js';

const BOUND = 2e-4;

function free({ loss, parts, grads }: LossAndGrads): void {
  tf.dispose([loss, ...Object.values(parts).filter((p) => p instanceof tf.Tensor), ...grads.values()]);
}

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
      const batch = padded(textRows(built, [26, 15]));
      const made = await model.lossAndGrads(batch);
      const parameters = [...model.parameters()];
      const every = Math.ceil(parameters.length / (slow ? 3 : 8));
      const chosen = parameters.filter(([key], i) => i % every === 1 || /q_proj_layer/.test(key));
      const { value, dispose } = await lossAtTheseCuts(model, batch);
      for (const [key, v] of chosen) {
        const g = await made.grads.get(key)?.data();
        // One entry of each: the one with the largest gradient, where the difference quotient is most accurate.
        let at = 0;
        g?.forEach((x, i) => (at = Math.abs(x) > Math.abs(g[at]!) ? i : at));
        const original = Float32Array.from(await v.data());
        const eps = 4e-3;
        const lossAt = async (d: number): Promise<number> => {
          const moved = tf.tensor(Float32Array.from(original, (w, i) => (i === at ? w + d : w)), v.shape);
          v.assign(moved);
          moved.dispose();
          return value();
        };
        const numeric = ((await lossAt(eps)) - (await lossAt(-eps))) / (2 * eps);
        await lossAt(0);
        const gradient = g?.[at] ?? 0;
        expect(Math.abs(numeric - gradient), `${key}[${at}]: gradient ${gradient}, finite difference ${numeric}`).toBeLessThan(2e-3 + 0.03 * Math.abs(gradient));
      }
      dispose();
      free(made);
      model.dispose();
    });

    it('the loss falls on a fixed batch, and nothing leaks', async () => {
      const built = build();
      const { model } = built;
      const optimizer = new AdamW([{ params: model.parameters() }]);
      const batch = padded(textRows(built, [33, 20]));
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
      const V = model.vocabSize;
      const n = { cpu: 36, webgpu: 24, wasm: 72, tensorflow: 72 }[backend];
      const rows = textRows(built, [n, n]);
      const full = [await fullPass(model, rows[0]!), await fullPass(model, rows[1]!)];
      const cuts = full.map(({ boundaries }) => boundaries.reduce((a, b) => a + b, 0));
      for (const c of cuts) expect(c).toBeGreaterThan(2);
      for (const c of cuts) expect(c).toBeLessThan(n);
      expect(full[0]!.boundaries).not.toEqual(full[1]!.boundaries);
      let state = model.initState(2);
      for (let t = 0; t < n; t++) {
        const out = await model.step(Int32Array.from(rows, (r) => r[t]!), state);
        state = out.state;
        const y = await out.logits.data();
        out.logits.dispose();
        full.forEach(({ logits, boundaries }, b) => {
          expect(maxError(y.slice(b * V, (b + 1) * V), logits.subarray(t * V, (t + 1) * V)), `row ${b}, position ${t}`).toBeLessThan(BOUND);
          expect(out.fired[0]![b], `row ${b}, position ${t}: does the main network take a step?`).toBe(boundaries[t]);
        });
      }
      disposeState(state);
      model.dispose();
    });

    it('prompts of different lengths, then some rows only = full pass', async () => {
      const built = build();
      const { model } = built;
      const V = model.vocabSize;
      const rows = textRows(built, [24, 20]);
      const full = [await fullPass(model, rows[0]!), await fullPass(model, rows[1]!)];
      const at = [14, 3];
      const prompt = padded(rows.map((r, b) => r.slice(0, at[b])));
      const ctx = new SequenceContext(2, prompt.length, prompt);
      const read = await model.prefill(prompt.ids, model.initState(2), ctx);
      ctx.dispose();
      const values = await read.logits.data();
      read.logits.dispose();
      full.forEach(({ logits }, b) => {
        const from = b * prompt.length * V;
        expect(maxError(values.slice(from, from + at[b]! * V), logits.subarray(0, at[b]! * V)), `prompt ${b}`).toBeLessThan(BOUND);
      });
      let { state } = read;
      while (at.some((n, b) => n < rows[b]!.length)) {
        const going = rows.flatMap((r, b) => ((b === 1 || at[1]! % 2 === 0 || at[1]! >= 20) && at[b]! < r.length ? [b] : []));
        const out = await model.step(Int32Array.from(going, (b) => rows[b]![at[b]!]!), state, going.length === 2 ? undefined : going);
        state = out.state;
        const y = await out.logits.data();
        out.logits.dispose();
        going.forEach((b, i) => {
          expect(maxError(y.slice(i * V, (i + 1) * V), full[b]!.logits.subarray(at[b]! * V, (at[b]! + 1) * V)), `row ${b}, position ${at[b]}`).toBeLessThan(BOUND);
          at[b]!++;
        });
      }
      disposeState(state);
      model.dispose();
    });
  });

  it("cross-entropy reaches a BLT's router through H-Net's upsampler only", async () => {
    const largest = async (name: string): Promise<number> => {
      const built = tinySwap(swapByName(name), material);
      const { parts, options } = built.model;
      const model = new HierarchicalLM(parts, { ...options, auxiliaryLoss: undefined });
      const made = await model.lossAndGrads(padded(textRows(built, [26, 15])));
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
    const batch = padded(rows);
    const inputs = padded(rows.map((r) => r.slice(0, 29)));
    const loss = async (own: typeof batch & { segmentation?: Segmentation }): Promise<number> => {
      const made = await model.lossAndGrads(own);
      const value = (await made.loss.data())[0]!;
      free(made);
      return value;
    };
    await expectNoLeak(async () => {
      const ctx = new SequenceContext(2, 29, inputs);
      const [segmentation, ...inner] = await model.plan(ctx);
      expect(await loss({ ...batch, segmentation: segmentation! })).toBeCloseTo(await loss(batch), 6);
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
