import * as tf from '@tensorflow/tfjs-core';
import { cloneState, disposeState, Rng, SequenceContext, setKernelPolicy, takeRows, type KernelPolicy } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { LatentTransformer, type LatentTransformerConfig } from './latent-transformer.js';

/** What the published models use, and what they do not, in small: every option at least once. */
const CONFIGS: Record<string, LatentTransformerConfig> = {
  'full, MLP': { dModel: 24, numLayers: 2, numHeads: 3, rotaryDim: 4, dIntermediate: 20 },
  'window 5, grouped heads, odd width': { dModel: 30, numLayers: 2, numHeads: 6, numKvHeads: 2, rotaryDim: 4, windowSize: 5, dIntermediate: 13, interleaved: true },
  'window per layer, bias, no MLP': { dModel: 16, numLayers: 2, numHeads: 2, windowSize: [0, -1], bias: true },
  'gate first, wide heads': { dModel: 32, numLayers: 1, numHeads: 1, dIntermediate: 9, multipleOf: 8, swigluOrder: 'gate-value', scale: 0.3, theta: 100 },
  'Olmo 3: post-norm, separate weights, norms of all heads, YaRN without a window only': {
    dModel: 24, numLayers: 2, numHeads: 4, numKvHeads: 2, headDim: 10, names: 'olmo', qkNorm: 'all-heads', dIntermediate: 18, windowSize: [6, -1],
    rotaryScaling: [null, { type: 'yarn', factor: 4, originalMaxPositions: 16, betaFast: 4 }], cacheSlack: 3, normEps: 1e-3,
  },
  'Llama: separate weights with biases, norms of each head, no final norm': {
    dModel: 20, numLayers: 1, numHeads: 3, headDim: 6, rotaryDim: 4, names: 'meta', qkNorm: 'per-head', dIntermediate: 11, interleaved: true, qkvBias: true, windowSize: 4,
    cacheSlack: 9, finalNorm: false,
  },
};

/** Some of the configurations run over more than 64 steps, the others over fewer, to spare the slow backends. */
const LENGTHS = [80, 36, 36, 36, 72, 36];
const rowsOfState = (B: number) => Array.from({ length: B }, (_, b) => b);

function create(config: LatentTransformerConfig): LatentTransformer {
  // Larger weights than at initialization, or the residual stream would hide mistakes.
  const model = new LatentTransformer({ ...config, initStd: 0.3, outInitStd: 0.3 }, new Rng(5));
  const rng = new Rng(6);
  for (const [name, p] of model.parameters()) if (name.includes('norm') || name.includes('bias')) tf.tidy(() => p.assign(tf.add(p, rng.normal(p.shape, 0.2))));
  return model;
}

/** (B, L, D) with every row its own numbers. */
const input = (B: number, length: number, D: number, seed = 1) => new Rng(seed).normal([B, length, D]) as tf.Tensor3D;
const cut = (x: tf.Tensor3D, b: number, from: number, to: number) => tf.slice(x, [b, from, 0], [1, to - from, x.shape[2]]);

describe.each(backendsForTest())('transformer on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(Object.entries(CONFIGS).map(([name, config], i) => [name, config, LENGTHS[i]!] as const))('%s', (_, config, L) => {
    const D = config.dModel;

    it('steps of rows at different positions equal the full pass', async () => {
      const model = create(config);
      const x = input(3, L, D);
      const full = model.forward(x, new SequenceContext(3, L));
      // Prompts of 7, 1 and 0 positions, padded to 9; then each step takes the rows that a fixed pattern picks.
      const lengths = [7, 1, 0];
      let { y, state } = model.prefill(tf.slice(x, [0, 0, 0], [3, 9, D]), model.initState(3), new SequenceContext(3, 9, { lengths }));
      for (const b of [0, 1]) await expectClose(cut(y, b, 0, lengths[b]!), cut(full, b, 0, lengths[b]!), { atol: 2e-5, name: `prompt of row ${b}` });
      const at = [...lengths];
      for (let n = 0; at.some((t) => t < L); n++) {
        const rows = rowsOfState(3).filter((b) => at[b]! < L && (n % 3 !== b || at[b]! > L - 20));
        if (!rows.length) continue;
        const pieces = tf.concat(rows.map((b) => cut(x, b, at[b]!, at[b]! + 1)), 0);
        const all = rows.length === 3;
        const out = model.step(tf.reshape(pieces, [rows.length, D]), state, all ? undefined : rows);
        state = out.state;
        const expected = tf.concat(rows.map((b) => cut(full, b, at[b]!, at[b]! + 1)), 0);
        await expectClose(out.y, tf.reshape(expected, [rows.length, D]), { atol: 2e-5, name: `positions ${rows.map((b) => at[b])} of rows ${rows}` });
        for (const b of rows) at[b]!++;
      }
    });

    it('prefill goes on from a state, in pieces of any length', async () => {
      const model = create(config);
      const x = input(2, L, D, 2);
      const full = model.forward(x, new SequenceContext(2, L));
      let state = model.initState(2);
      const at = [0, 0];
      for (const counts of [[3, 1], [1, 1], [0, 9], [20, 2], [L > 50 ? 17 : 1, L > 50 ? 30 : 8], [4, 0]]) {
        const width = Math.max(...counts) + 1;
        const piece = tf.concat(counts.map((n, b) => tf.pad(cut(x, b, at[b]!, at[b]! + n), [[0, 0], [0, width - n], [0, 0]], 3)), 0) as tf.Tensor3D;
        const out = model.prefill(piece, state, new SequenceContext(2, width, { lengths: counts }));
        state = out.state;
        for (const b of [0, 1]) {
          if (counts[b]! > 0) await expectClose(cut(out.y, b, 0, counts[b]!), cut(full, b, at[b]!, at[b]! + counts[b]!), { atol: 2e-5, name: `row ${b} at ${at[b]}` });
          at[b]! += counts[b]!;
        }
      }
      const out = model.step(tf.reshape(tf.concat([cut(x, 0, at[0]!, at[0]! + 1), cut(x, 1, at[1]!, at[1]! + 1)], 0), [2, D]), state);
      await expectClose(out.y, tf.reshape(tf.concat([cut(full, 0, at[0]!, at[0]! + 1), cut(full, 1, at[1]!, at[1]! + 1)], 0), [2, D]), { atol: 2e-5 });
    });

    it('a batch equals its rows, and padding changes nothing', async () => {
      const model = create(config);
      const x = input(3, 20, D, 3);
      const lengths = [20, 11, 1];
      const batch = model.forward(x, new SequenceContext(3, 20, { lengths }));
      for (const [b, n] of lengths.entries()) {
        await expectClose(cut(batch, b, 0, n), model.forward(cut(x, b, 0, n), new SequenceContext(1, n)), { atol: 1e-5 });
      }
      const wider = model.forward(tf.pad(x, [[0, 0], [0, 7], [0, 0]], 9), new SequenceContext(3, 27, { lengths }));
      for (const [b, n] of lengths.entries()) await expectClose(cut(wider, b, 0, n), cut(batch, b, 0, n), { atol: 1e-5 });
    });

    it('packed documents equal separate ones, forward and as a prompt', async () => {
      const model = create(config);
      const x = input(2, 24, D, 4);
      const sizes = [[9, 1, 14], [24]];
      const documentIds = Int32Array.from(sizes.flatMap((s) => s.flatMap((n, id) => Array<number>(n).fill(id + 3))));
      const ctx = new SequenceContext(2, 24, { documentIds });
      const packed = model.forward(x, ctx);
      let from = 0;
      for (const n of sizes[0]!) {
        await expectClose(cut(packed, 0, from, from + n), model.forward(cut(x, 0, from, from + n), new SequenceContext(1, n)), { atol: 1e-5 });
        from += n;
      }
      // As a prompt on top of 6 earlier positions of the first document; afterwards only the last document counts.
      const whole = tf.concat([input(2, 6, D, 8), x], 1) as tf.Tensor3D;
      const ids = Int32Array.from([...Array<number>(6).fill(3), ...documentIds.subarray(0, 24), ...Array<number>(6).fill(3), ...documentIds.subarray(24)]);
      const expected = model.forward(whole, new SequenceContext(2, 30, { documentIds: ids }));
      const first = model.prefill(tf.slice(whole, [0, 0, 0], [2, 6, D]), model.initState(2), new SequenceContext(2, 6));
      const second = model.prefill(x, first.state, ctx);
      await expectClose(second.y, tf.slice(expected, [0, 6, 0], [2, 24, D]), { atol: 2e-5 });
      const more = input(2, 1, D, 9);
      const next = model.step(tf.reshape(more, [2, D]), second.state);
      const alone = (b: number, x: tf.Tensor3D) => model.forward(tf.concat([x, cut(more, b, 0, 1)], 1) as tf.Tensor3D, new SequenceContext(1, x.shape[1] + 1));
      const last = (t: tf.Tensor3D) => tf.reshape(tf.slice(t, [0, t.shape[1] - 1, 0], [1, 1, D]), [1, D]);
      await expectClose(tf.slice(next.y, [0, 0], [1, D]), last(alone(0, cut(x, 0, 10, 24))), { atol: 2e-5 });
      await expectClose(tf.slice(next.y, [1, 0], [1, D]), last(alone(1, cut(whole, 1, 0, 30))), { atol: 2e-5 });
    });

    it('has the gradients of finite differences', async () => {
      const model = create(config);
      const names = [...model.parameters().keys()];
      const x = input(1, 6, D, 5);
      const ctx = new SequenceContext(1, 6, { documentIds: Int32Array.from([0, 0, 0, 0, 1, 1]) });
      await checkGradients((a) => model.forward(a as tf.Tensor3D, ctx), [x], { samples: 6, names: ['x'] });
      const variables = [...model.parameters().values()];
      const { grads } = tf.variableGrads(() => tf.sum(tf.mul(model.forward(x, ctx), tf.range(0, D))), variables);
      expect(Object.keys(grads).length).toBe(names.length);
      for (const v of variables) expect(grads[v.name]!.shape).toEqual(v.shape);
    });
  });

  it('shows its stream between the blocks, and runs none behind the deepest', async () => {
    const model = create({ dModel: 16, dInput: 12, numLayers: 3, numHeads: 2, dIntermediate: 20 });
    const x = input(2, 6, 12);
    const ctx = new SequenceContext(2, 6);
    const [first, second, last] = model.streams(x, ctx, [0, 2, 3]);
    await expectClose(first!, model.inputProjection!.forward(x), { atol: 1e-6 });
    await expectClose(model.fromStream(last!), model.forward(x, ctx), { atol: 1e-5 });
    const ran: number[] = [];
    model.blocks.forEach((block, i) => {
      const forward = block.forward.bind(block);
      block.forward = (...args) => (ran.push(i), forward(...args));
    });
    await expectClose(model.streams(x, ctx, [2])[0]!, second!, { atol: 1e-6 });
    expect(ran).toEqual([0, 1]);
    expect(() => model.streams(x, ctx, [4])).toThrow('[streams] depths: expected whole numbers from 0 to 3, one at least, got 4.');
    await expectNoLeak(() => tf.dispose([...model.streams(x, ctx, [1, 1]), model.fromStream(last!)]));
    ctx.dispose();
    model.dispose();
  });

  it('the fused step equals the composed one, for few rows and many', async () => {
    for (const config of Object.values(CONFIGS)) {
      const model = create(config);
      const D = model.dModel;
      const x = input(6, 9, D, 11);
      const run = (policy: KernelPolicy) => {
        setKernelPolicy(policy);
        let state = model.initState(6);
        const outputs: tf.Tensor2D[] = [];
        for (let t = 0; t < 9; t++) {
          const rows = [undefined, [1, 3, 4, 5], [0], [2, 5]][t % 4];
          const out = model.step(takeRows(tf.reshape(tf.slice(x, [0, t, 0], [6, 1, D]), [6, D]), rows), state, rows);
          state = out.state;
          outputs.push(out.y);
        }
        setKernelPolicy('auto');
        return tf.concat(outputs, 0);
      };
      await expectClose(run('auto'), run('portable'), { atol: 2e-5 });
    }
  });

  it('leaks nothing in steps, prompts and training', async () => {
    const model = create(CONFIGS['window 5, grouped heads, odd width']!);
    const D = model.dModel;
    const x = input(2, 12, D);
    const run = (steps: number) => {
      const ctx = new SequenceContext(2, 12, { lengths: [12, 5] });
      let { y, state } = model.prefill(x, model.initState(2), ctx);
      y.dispose();
      const one = tf.zeros([1, D]) as tf.Tensor2D;
      for (let i = 0; i < steps; i++) {
        const out = model.step(one, state, [i % 2]);
        state = out.state;
        out.y.dispose();
      }
      one.dispose();
      disposeState(state);
      ctx.dispose();
    };
    run(1);
    await expectNoLeak(() => run(200));
    await expectNoLeak(() => {
      const ctx = new SequenceContext(2, 12, { documentIds: new Int32Array(24) });
      for (let i = 0; i < (backend === 'webgpu' ? 5 : 50); i++) {
        const { value, grads } = tf.variableGrads(() => tf.mean(tf.square(model.forward(x, ctx))) as tf.Scalar);
        tf.dispose([value, grads]);
      }
      ctx.dispose();
    });
    await expectNoLeak(() => create(CONFIGS['full, MLP']!).dispose());
  });

  it('a snapshot is independent of what comes later', async () => {
    const model = create(CONFIGS['full, MLP']!);
    const D = model.dModel;
    const { state } = model.prefill(input(2, 10, D), model.initState(2), new SequenceContext(2, 10));
    const snapshot = cloneState(state);
    const x = input(1, 2, D, 7);
    const a = model.step(tf.reshape(x, [2, D]), state);
    const b = model.step(tf.reshape(x, [2, D]), snapshot);
    await expectClose(a.y, b.y, { atol: 1e-6 });
  });
});

describe('transformer refuses', () => {
  const config = { dModel: 12, numLayers: 1, numHeads: 3 };
  beforeAll(() => useBackend('cpu'));
  it.each([
    ['heads that do not divide the width, and says all that is wrong', () => new LatentTransformer({ ...config, numHeads: 5, rotaryDim: 3 }), /numHeads 5 does not divide dModel 12; .*rotaryDim 3/],
    ['key heads that do not divide the heads', () => new LatentTransformer({ ...config, numKvHeads: 2 }), /numKvHeads 2 does not divide numHeads 3/],
    ['no layers', () => new LatentTransformer({ ...config, numLayers: 0 }), /positive whole number/],
    ['a window for each of too few layers', () => new LatentTransformer({ ...config, windowSize: [1, 2] }), /as many windows, got 1 and 2/],
    ['inputs of another width', () => new LatentTransformer(config).forward(tf.zeros([1, 3, 11]), new SequenceContext(1, 3)), /\(1, 3, 11\)/],
    ['a context of another length', () => new LatentTransformer(config).forward(tf.zeros([1, 3, 12]), new SequenceContext(1, 4)), /expected shape \(1, 4, 12\)/],
    ['a state of another batch', () => { const m = new LatentTransformer(config); m.prefill(tf.zeros([1, 3, 12]), m.initState(2), new SequenceContext(1, 3)); }, /expected shape \(2, 3, 12\)/],
    ['a step for rows that are not there', () => { const m = new LatentTransformer(config); m.step(tf.zeros([1, 12]), m.initState(2), [2]); }, /expected a row in 0\.\.1/],
    ['more inputs than rows', () => { const m = new LatentTransformer(config); m.step(tf.zeros([2, 12]), m.initState(2), [1]); }, /expected shape \(1, 12\)/],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(message);
  });
});
