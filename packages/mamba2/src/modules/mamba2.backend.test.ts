import { cloneState, disposeState, Rng, SequenceContext } from '@bytelm/core';
import { backendsForTest, expectClose, expectNoLeak, fillParameters, loadCase, positionAt, toTensor, uniform, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Mamba2Config } from '../config.js';
import { Mamba2 } from './mamba2.js';

/** The mixer of a golden case with its weights. */
function mixerOf(c: ReturnType<typeof loadCase>): Mamba2 {
  const { cfg } = c.attrs;
  const mixer = new Mamba2({
    dModel: cfg.d_model, expand: cfg.d_inner / cfg.d_model, dSsm: cfg.d_ssm, dState: cfg.d_state, numGroups: cfg.ngroups, headDim: cfg.headdim, eps: cfg.eps,
    dtLimit: cfg.dt_limit ?? undefined, rmsNorm: cfg.rmsnorm, normBeforeGate: cfg.norm_before_gate, convWidth: cfg.d_conv, chunkSize: cfg.chunk_size,
    bias: c.tensors.has('in.in_proj.bias'), convBias: c.tensors.has('in.conv1d.bias'), dPerChannel: c.tensors.get('in.D')!.shape[0] === cfg.d_ssm && cfg.headdim > 1,
  });
  fillParameters(mixer, c.tensors, 'in.');
  return mixer;
}

const SMALL: Mamba2Config = { dModel: 24, headDim: 8, dState: 16, numGroups: 2 };

describe.each(backendsForTest())('Mamba2 on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(['g1', 'g2', 'dmlp', 'bias_limit', 'nonorm', 'seqidx'])('agrees with the golden case mixer_%s: output, states, every gradient', async (name) => {
    const c = loadCase('kernels', `mixer_${name}`);
    const golden = (n: string) => c.tensors.get(n)!;
    const mixer = mixerOf(c);
    const u = toTensor(golden('in.u')) as tf.Tensor3D;
    const ids = c.tensors.get('in.seq_idx')?.values as Int32Array | undefined;
    const ctx = new SequenceContext(u.shape[0], u.shape[1], { documentIds: ids });
    await expectClose(mixer.forward(u, ctx), golden('out.y').values, { atol: c.tol['out.y'], rtol: 0, name: 'y' });

    const params = [...mixer.parameters()];
    const cotY = toTensor(golden('cot.y'));
    const cots = c.tensors.has('cot.ssm_state') ? { conv: toTensor(golden('cot.conv_state')), ssm: toTensor(golden('cot.ssm_state')) } : undefined;
    const loss = (v: tf.Tensor) => {
      const { y, state } = mixer.prefill(v as tf.Tensor3D, mixer.initState(u.shape[0]), ctx);
      const main = tf.sum(tf.mul(y, cotY));
      return (cots ? tf.addN([main, tf.sum(tf.mul(state.conv, cots.conv)), tf.sum(tf.mul(state.ssm, cots.ssm))]) : main) as tf.Scalar;
    };
    const x = tf.variable(u);
    const { grads } = tf.variableGrads(() => loss(x), [x, ...params.map(([, v]) => v)]);
    await expectClose(grads[x.name]!, golden('grad.u').values, { atol: c.tol['grad.u'], rtol: 0, name: 'grad.u' });
    for (const [n, v] of params) {
      await expectClose(grads[v.name]!, golden(`grad.${n}`).values, { atol: c.tol[`grad.${n}`], rtol: 0, name: `grad.${n}` });
    }
    if (!cots) return;

    // The same once more as a prefill and single steps.
    const split = c.attrs.prefill as number;
    let { y, state } = mixer.prefill(tf.slice(u, [0, 0, 0], [-1, split, -1]), mixer.initState(u.shape[0]), new SequenceContext(u.shape[0], split));
    const ys: tf.Tensor[] = [y];
    for (let t = split; t < u.shape[1]; t++) {
      const out = mixer.step(positionAt(u, t), state);
      state = out.state;
      ys.push(tf.expandDims(out.y, 1));
    }
    await expectClose(tf.concat(ys, 1) as tf.Tensor, golden('out.y').values, { atol: c.tol['out.y'], rtol: 0, name: 'y in steps' });
    await expectClose(state.conv, golden('out.conv_state').values, { atol: c.tol['out.conv_state'], rtol: 0, name: 'conv state' });
    await expectClose(state.ssm, golden('out.ssm_state').values, { atol: c.tol['out.ssm_state'], rtol: 0, name: 'ssm state' });
  });

  it('72 steps with rows that join at different times equal the full forward', async () => {
    const mixer = new Mamba2(SMALL, new Rng(1));
    const L = 72;
    const starts = [0, 5, 30];
    const u = uniform([3, L, 24], 2) as tf.Tensor3D;
    const full = mixer.forward(u, new SequenceContext(3, L));
    let state = mixer.initState(3);
    const got: tf.Tensor[][] = [[], [], []];
    for (let t = 0; got[2]!.length < L; t++) {
      const rows = [0, 1, 2].filter((b) => t >= starts[b]! && t < starts[b]! + L);
      const x = tf.concat(rows.map((b) => tf.slice(u, [b, t - starts[b]!, 0], [1, 1, 24]))) as tf.Tensor;
      const out = mixer.step(tf.reshape(x, [rows.length, 24]), state, rows.length === 3 ? undefined : rows);
      state = out.state;
      rows.forEach((b, i) => got[b]!.push(tf.slice(out.y, [i, 0], [1, 24])));
    }
    for (const b of [0, 1, 2]) {
      await expectClose(tf.concat(got[b]!) as tf.Tensor, tf.reshape(tf.slice(full, [b], [1]), [L, 24]), { atol: 2e-6, rtol: 1e-4, name: `row ${b}` });
    }
    mixer.dispose();
  });

  it('prefill in pieces with unequal rows equals each row alone', async () => {
    const mixer = new Mamba2(SMALL, new Rng(1));
    const u = uniform([2, 20, 24], 3) as tf.Tensor3D;
    const lengths = [[13, 4], [7, 12]] as const;
    let state = mixer.initState(2);
    const first = mixer.prefill(tf.slice(u, [0, 0, 0], [2, 13, 24]), state, new SequenceContext(2, 13, { lengths: lengths[0] }));
    const second = tf.stack([
      tf.pad(tf.slice(u, [0, 13, 0], [1, 7, 24]), [[0, 0], [0, 5], [0, 0]]),
      tf.slice(u, [1, 4, 0], [1, 12, 24]),
    ] as tf.Tensor[]);
    state = mixer.prefill(tf.reshape(second, [2, 12, 24]), first.state, new SequenceContext(2, 12, { lengths: lengths[1] })).state;
    for (const b of [0, 1]) {
      const n = lengths[0][b]! + lengths[1][b]!;
      const alone = mixer.prefill(tf.slice(u, [b, 0, 0], [1, n, 24]), mixer.initState(1), new SequenceContext(1, n));
      await expectClose(tf.slice(state.conv, [b], [1]), alone.state.conv, { atol: 1e-6, name: 'conv' });
      await expectClose(tf.slice(state.ssm, [b], [1]), alone.state.ssm, { atol: 1e-6, name: 'ssm' });
      await expectClose(tf.slice(first.y, [b, 0, 0], [1, lengths[0][b]!, 24]), tf.slice(alone.y, [0, 0, 0], [1, lengths[0][b]!, 24]), { atol: 1e-6 });
    }
  });

  it('padding adds nothing to outputs or weight gradients', async () => {
    const mixer = new Mamba2(SMALL, new Rng(1));
    const u = uniform([1, 11, 24], 4) as tf.Tensor3D;
    const long = tf.concat([u, uniform([1, 30, 24], 5)], 1) as tf.Tensor3D;
    const vars = [...mixer.parameters().values()];
    const loss = (x: tf.Tensor3D, ctx: SequenceContext) =>
      tf.variableGrads(() => tf.sum(tf.square(tf.slice(mixer.forward(x, ctx), [0, 0, 0], [1, 11, 24]))) as tf.Scalar, vars);
    const [alone, padded] = [loss(u, new SequenceContext(1, 11)), loss(long, new SequenceContext(1, 41, { lengths: [11] }))];
    await expectClose(padded.value, alone.value, { atol: 1e-5, rtol: 1e-5 });
    for (const v of vars) await expectClose(padded.grads[v.name]!, alone.grads[v.name]!, { atol: 1e-5, rtol: 1e-4, name: v.name });
  });

  it('a cloned state is independent', async () => {
    const mixer = new Mamba2(SMALL, new Rng(1));
    let { state } = mixer.step(uniform([2, 24], 1) as tf.Tensor2D, mixer.initState(2));
    const copy = cloneState(state);
    const before = Float32Array.from(await copy.ssm.data());
    state = mixer.step(uniform([2, 24], 2) as tf.Tensor2D, state).state;
    await expectClose(copy.ssm, before, { atol: 0, rtol: 0 });
    disposeState([state, copy]);
  });

  it('a state whose data another tensor shares is not overwritten', async () => {
    const mixer = new Mamba2(SMALL, new Rng(1));
    const { state } = mixer.step(uniform([2, 24], 1) as tf.Tensor2D, mixer.initState(2));
    const alias = tf.clone(state.ssm);
    const before = Float32Array.from(await alias.data());
    const after = mixer.step(uniform([2, 24], 2) as tf.Tensor2D, state).state;
    await expectClose(alias, before, { atol: 0, rtol: 0 });
    expect(Array.from(await after.ssm.data())).not.toEqual(Array.from(before));
  });

  it.each([1, 2, 3, 5, 8])('%i rows a step equal the full forward', async (rows) => {
    const mixer = new Mamba2({ ...SMALL, convWidth: rows === 2 ? 3 : 4, dState: 6 }, new Rng(1));
    const u = uniform([rows, 6, 24], 2) as tf.Tensor3D;
    const full = mixer.forward(u, new SequenceContext(rows, 6));
    let state = mixer.initState(rows);
    for (let t = 0; t < 6; t++) {
      const out = mixer.step(positionAt(u, t), state);
      state = out.state;
      await expectClose(out.y, positionAt(full, t), { atol: 2e-6, name: `step ${t}` });
    }
  });

  it('refuses rows and inputs that do not fit the state', () => {
    const mixer = new Mamba2(SMALL, new Rng(1));
    const state = mixer.initState(3);
    expect(() => mixer.step(tf.zeros([2, 24]), state)).toThrow(/\(R, D\) = \(3, 24\).*got \(2, 24\)/);
    expect(() => mixer.step(tf.zeros([2, 24]), state, [1, 3])).toThrow(/`rows`.*got \[1, 3\]/);
    expect(() => mixer.step(tf.zeros([2, 24]), state, [1, 1])).toThrow(/`rows`/);
  });

  it('leaks nothing over 50 training steps and 200 decode steps', async () => {
    const mixer = new Mamba2({ dModel: 8, headDim: 4, dState: 4 }, new Rng(1));
    const vars = [...mixer.parameters().values()];
    const u = uniform([1, 5, 8], 6) as tf.Tensor3D;
    const ctx = new SequenceContext(1, 5);
    const train = () => tf.dispose(tf.variableGrads(() => tf.sum(tf.square(mixer.forward(u, ctx))) as tf.Scalar, vars));
    const x = uniform([1, 8], 7) as tf.Tensor2D;
    let state = mixer.initState(1);
    const decode = () => {
      const out = mixer.step(x, state);
      state = out.state;
      out.y.dispose();
    };
    train();
    decode();
    await expectNoLeak(() => {
      for (let i = 0; i < 50; i++) train();
      for (let i = 0; i < 200; i++) decode();
    });
  });
});

describe('Mamba2 configs', () => {
  it('are refused with every problem at once', () => {
    expect(() => new Mamba2({ dModel: 20, headDim: 64, numGroups: 0, dtLimit: [1, 0], d_state: 3 } as never)).toThrow(
      /4 problems.*unknown key `d_state`.*`numGroups`.*`headDim`: must divide the 40 channels.*`dtLimit`/s,
    );
  });
});
