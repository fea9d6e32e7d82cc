import { cloneState, disposeState, Rng, SequenceContext } from '@bytelm/core';
import { backendsForTest, expectClose, expectNoLeak, fillParameters, loadCase, positionAt, toTensor, uniform, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { MLSTMBlock } from './mlstm-block.js';
import { MLSTMLayer } from './mlstm-layer.js';
import { mlstmStack } from './mlstm-stack.js';

const D = 16;
/** Open input gates: at their closed start outputs would be too small to tell mistakes. */
const CONFIG = { dModel: D, numHeads: 2, inputGateBias: 0 };
type LayerCase = ReturnType<typeof loadCase> & { heads: number; prefill_len: number };

/** Two blocks, the first without an MLP, norms with weights of their own. */
function stack() {
  const model = mlstmStack({ ...CONFIG, dIntermediate: 24, nLayers: 2 }, new Rng(1));
  let seed = 50;
  for (const [name, v] of model.parameters()) if (name.includes('norm')) v.assign(uniform(v.shape, ++seed, 0.5, 1.5) as never);
  return model;
}

describe.each(backendsForTest())('mLSTM modules on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(['mlstm_layer', 'local_block'])('agrees with the golden case %s: output, states after prefill and steps, every gradient', async (name) => {
    const c: LayerCase = loadCase('bolmo', name) as never;
    const golden = (n: string) => toTensor(c.tensors.get(n)!);
    const dModel = golden('x').shape[2]!;
    const isBlock = name === 'local_block';
    for (const gradient of ['true', 'published'] as const) {
      const config = { dModel, numHeads: c.heads, gradient };
      const block = isBlock ? new MLSTMBlock({ ...config, dIntermediate: c.tensors.get('param.mlp.up_proj.weight')!.shape[0]! }) : undefined;
      const layer = block?.layer ?? new MLSTMLayer(config);
      const module = block ?? layer;
      fillParameters(module, c.tensors, 'param.');
      const ctx = new SequenceContext(2, golden('x').shape[1]!);
      const run = (x: tf.Tensor3D): tf.Tensor => {
        if (!block) return layer.forward(x, ctx);
        const { hidden, residual } = block.forward({ hidden: x }, ctx);
        return tf.add(hidden, residual);
      };
      const params = [...module.parameters()];
      const x = tf.variable(golden('x')) as tf.Variable;
      await expectClose(run(x as tf.Tensor as tf.Tensor3D), golden('y'), { atol: 1e-4, rtol: 0, name: 'y' });
      const { grads } = tf.variableGrads(() => tf.sum(tf.mul(run(x as tf.Tensor as tf.Tensor3D), golden('loss_weight'))) as tf.Scalar, [x, ...params.map(([, v]) => v)]);
      await expectClose(grads[x.name]!, golden('grad_x'), { atol: 1e-4, rtol: 1e-3, name: 'x' });
      for (const [n, v] of params) await expectClose(grads[v.name]!, golden(`grad.${n}`), { atol: 1e-4, rtol: 1e-3, name: `${gradient} ${n}` });

      // The same once more as a prefill and single steps.
      const P = c.prefill_len;
      const head = tf.slice(golden('x'), [0, 0, 0], [2, P, dModel]) as tf.Tensor3D;
      const first = block ? block.prefill({ hidden: head }, block.initState(2), new SequenceContext(2, P)) : layer.prefill(head, layer.initState(2), new SequenceContext(2, P));
      const ys = [tf.add('y' in first ? first.y : first.hidden, 'residual' in first ? first.residual : 0)];
      let { state } = first;
      for (let t = P; t < ctx.length; t++) {
        const out = block ? block.step({ hidden: positionAt(x, t) }, state) : layer.step(positionAt(x, t), state);
        ys.push(tf.expandDims(tf.add('y' in out ? out.y : out.hidden, 'residual' in out ? out.residual : 0), 1));
        state = out.state;
      }
      await expectClose(tf.concat(ys, 1) as tf.Tensor, golden('y'), { atol: 1e-4, rtol: 0, name: 'y in steps' });
      await expectClose(state.C, golden('state_c'), { atol: 1e-4, rtol: 0, name: 'C' });
      await expectClose(state.n, golden('state_n'), { atol: 1e-4, rtol: 0, name: 'n' });
      await expectClose(state.m, tf.squeeze(golden('state_m'), [2]), { atol: 1e-4, rtol: 0, name: 'm' });
      module.dispose();
      x.dispose();
    }
  });

  it('a stack: 64 steps, rows in any combination, equal the full forward', async () => {
    const model = stack();
    const x = uniform([2, 64, D], 5) as tf.Tensor3D;
    const full = model.forward(x, new SequenceContext(2, 64));
    let state = model.initState(2);
    // Row 1 runs 3 positions behind row 0.
    for (let t = 0; t < 67; t++) {
      const rows = [0, 1].filter((b) => t - 3 * b >= 0 && t - 3 * b < 64);
      const at = (v: tf.Tensor) => tf.concat(rows.map((b) => tf.slice(positionAt(v, t - 3 * b), [b, 0], [1, D]))) as tf.Tensor2D;
      const out = model.step(at(x), state, rows);
      state = out.state;
      await expectClose(out.y, at(full), { atol: 3e-5, name: `step ${t}` });
    }
  });

  it.each([1, 5, 8])('%i rows a step, without an MLP, odd widths, no soft cap', async (rows) => {
    const block = new MLSTMBlock({ dModel: 18, numHeads: 3, inputGateBias: 1, forgetGateBias: [1, 4], gateSoftCap: null, dIntermediate: 0 }, new Rng(2));
    const x = uniform([rows, 6, 18], 2) as tf.Tensor3D;
    const full = block.forward({ hidden: x }, new SequenceContext(rows, 6));
    let state = block.initState(rows);
    for (let t = 0; t < 6; t++) {
      const out = block.step({ hidden: positionAt(x, t) }, state);
      state = out.state;
      await expectClose(out.hidden, positionAt(full.hidden, t), { atol: 1e-5, name: `step ${t}` });
      await expectClose(out.residual, positionAt(full.residual, t), { atol: 1e-6, name: `residual ${t}` });
    }
  });

  it('prefill in pieces with unequal rows equals each row alone', async () => {
    const model = new MLSTMLayer(CONFIG, new Rng(1));
    const u = uniform([2, 20, D], 3) as tf.Tensor3D;
    const lengths = [[13, 4], [7, 12]] as const;
    const first = model.prefill(tf.slice(u, [0, 0, 0], [2, 13, D]), model.initState(2), new SequenceContext(2, 13, { lengths: lengths[0] }));
    const second = tf.stack([tf.pad(tf.slice(u, [0, 13, 0], [1, 7, D]), [[0, 0], [0, 5], [0, 0]]), tf.slice(u, [1, 4, 0], [1, 12, D])] as tf.Tensor[]);
    const { state } = model.prefill(tf.reshape(second, [2, 12, D]), first.state, new SequenceContext(2, 12, { lengths: lengths[1] }));
    for (const b of [0, 1]) {
      const n = lengths[0][b]! + lengths[1][b]!;
      const alone = model.prefill(tf.slice(u, [b, 0, 0], [1, n, D]), model.initState(1), new SequenceContext(1, n));
      for (const s of ['C', 'n', 'm'] as const) await expectClose(tf.slice(state[s], [b], [1]), alone.state[s], { atol: 1e-5, name: s });
      await expectClose(tf.slice(first.y, [b, 0, 0], [1, lengths[0][b]!, D]), tf.slice(alone.y, [0, 0, 0], [1, lengths[0][b]!, D]), { atol: 1e-5 });
    }
  });

  it('packed documents, startDocument and a fresh state are the same', async () => {
    const model = stack();
    const x = uniform([1, 12, D], 7) as tf.Tensor3D;
    const packed = model.forward(x, new SequenceContext(1, 12, { documentIds: Int32Array.from({ length: 12 }, (_, t) => Number(t >= 5)) }));
    const alone = model.forward(tf.slice(x, [0, 5, 0], [1, 7, D]), new SequenceContext(1, 7));
    await expectClose(tf.slice(packed, [0, 5, 0], [1, 7, D]), alone, { atol: 1e-5, name: 'packed' });
    let { state } = model.prefill(tf.slice(x, [0, 0, 0], [1, 5, D]), model.initState(1), new SequenceContext(1, 5));
    state = model.startDocument(state, [0]);
    for (let t = 5; t < 12; t++) {
      const out = model.step(positionAt(x, t), state);
      state = out.state;
      await expectClose(out.y, positionAt(packed, t), { atol: 1e-5, name: `step ${t}` });
    }
  });

  it('padding adds nothing to outputs or weight gradients', async () => {
    const model = new MLSTMBlock(CONFIG, new Rng(1));
    const u = uniform([1, 11, D], 4) as tf.Tensor3D;
    const long = tf.concat([u, uniform([1, 30, D], 5)], 1) as tf.Tensor3D;
    const vars = [...model.parameters().values()];
    const loss = (x: tf.Tensor3D, ctx: SequenceContext) =>
      tf.variableGrads(() => tf.sum(tf.square(tf.slice(model.forward({ hidden: x }, ctx).hidden, [0, 0, 0], [1, 11, D]))) as tf.Scalar, vars);
    const [alone, padded] = [loss(u, new SequenceContext(1, 11)), loss(long, new SequenceContext(1, 41, { lengths: [11] }))];
    await expectClose(padded.value, alone.value, { atol: 1e-5, rtol: 1e-5 });
    for (const v of vars) await expectClose(padded.grads[v.name]!, alone.grads[v.name]!, { atol: 1e-5, rtol: 1e-3, name: v.name });
  });

  it('starts with closed input gates: the layer gives next to nothing', async () => {
    const layer = new MLSTMLayer({ dModel: D, numHeads: 2 }, new Rng(1));
    const y = layer.forward(uniform([1, 9, D], 8) as tf.Tensor3D, new SequenceContext(1, 9));
    expect(Math.max(...(await tf.abs(y).data()))).toBeLessThan(0.05);
    expect([...(await layer.inputBias.data())]).toEqual([-10, -10]);
  });

  it('a state whose data another tensor shares is not overwritten', async () => {
    const layer = new MLSTMLayer(CONFIG, new Rng(1));
    const { state } = layer.step(uniform([2, D], 1) as tf.Tensor2D, layer.initState(2));
    const copy = cloneState(state);
    const alias = tf.clone(state.C);
    const before = Float32Array.from(await alias.data());
    const after = layer.step(uniform([2, D], 2) as tf.Tensor2D, state).state;
    await expectClose(alias, before, { atol: 0, rtol: 0 });
    await expectClose(copy.C, before, { atol: 0, rtol: 0 });
    expect(Array.from(await after.C.data())).not.toEqual(Array.from(before));
    disposeState([after, copy, alias]);
  });

  it('refuses rows and inputs that do not fit the state', () => {
    const layer = new MLSTMLayer(CONFIG, new Rng(1));
    const state = layer.initState(3);
    expect(() => layer.step(tf.zeros([2, D]), state)).toThrow(/\(R, D\) = \(3, 16\).*got \(2, 16\)/);
    expect(() => layer.step(tf.zeros([2, D]), state, [1, 3])).toThrow(/`rows`.*got \[1, 3\]/);
  });

  it('leaks nothing over training and decode steps', async () => {
    const model = stack();
    const vars = [...model.parameters().values()];
    const u = uniform([1, 5, D], 6) as tf.Tensor3D;
    const ctx = new SequenceContext(1, 5);
    const train = () => tf.dispose(tf.variableGrads(() => tf.sum(tf.square(model.forward(u, ctx))) as tf.Scalar, vars));
    const x = uniform([1, D], 7) as tf.Tensor2D;
    let state = model.initState(1);
    const decode = () => {
      const out = model.step(x, state);
      state = model.startDocument(out.state, [0]);
      out.y.dispose();
    };
    train();
    decode();
    await expectNoLeak(() => {
      for (let i = 0; i < 5; i++) train();
      for (let i = 0; i < 20; i++) decode();
    });
    await expectNoLeak(() => {
      const out = model.prefill(u, model.initState(1), ctx);
      out.y.dispose();
      disposeState(out.state);
    });
  });
});

describe('mLSTM configs', () => {
  it('are refused with every problem at once', () => {
    expect(() => new MLSTMLayer({ dModel: 20, numHeads: 3, gateSoftCap: -1, qk_dim: 3 } as never)).toThrow(
      /4 problems.*unknown key `qk_dim`.*`numHeads`: must divide qkFactor \* dModel = 10, got 3.*`gateSoftCap`/s,
    );
    expect(() => new MLSTMBlock({ dModel: 16, dIntermediate: -1 })).toThrow(/dIntermediate/);
  });
});
