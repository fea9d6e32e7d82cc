import { backendsForTest, checkGradients, expectClose, expectNoLeak, loadCase, positionAt, toTensor, uniform, useBackend } from '@bytelm/core/testing';
import { getKernelPolicy, setKernelPolicy } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { mlstm, type MLSTMOptions, type MLSTMState } from './mlstm.js';
import { mlstmStep } from './mlstm-step.js';

const CASES = ['zero_state', 'initial_state', 'extreme_gates', 'closed_igate'];
// The bounds of the fixture runner.
const GRADIENT = { atol: 1e-4, rtol: 1e-3 };

type CellCase = ReturnType<typeof loadCase> & { has_initial_state: boolean; reference_chunk_size: number; S: number };
type Inputs = { q: tf.Tensor; k: tf.Tensor; v: tf.Tensor; inputGate: tf.Tensor; forgetGate: tf.Tensor };
const PER_POSITION = ['q', 'k', 'v', 'inputGate', 'forgetGate'] as const;

/** Inputs of a made-up call; gates across a range where either may make the stabiliser. */
function example(batch: number, length: number, { heads = 2, keyDim = 6, valueDim = 5, gates = 3 } = {}): Inputs {
  return {
    q: uniform([batch, length, heads, keyDim], 1, -2, 2),
    k: uniform([batch, length, heads, keyDim], 2, -2, 2),
    v: uniform([batch, length, heads, valueDim], 3, -2, 2),
    inputGate: uniform([batch, length, heads], 4, -gates, gates),
    forgetGate: uniform([batch, length, heads], 5, -gates, gates),
  };
}

const stateOf = (batch: number, heads: number, K: number, V: number): MLSTMState => ({
  C: uniform([batch, heads, K, V], 11) as tf.Tensor4D, n: uniform([batch, heads, K], 12) as tf.Tensor3D, m: uniform([batch, heads], 13) as tf.Tensor2D,
});

const run = ({ q, ...rest }: Inputs, options: Partial<MLSTMOptions> = {}) => mlstm(q, { ...rest, ...options, returnFinalState: true });
const part = (inputs: Inputs, from: number, n: number, row = 0, rows = inputs.q.shape[0]!) =>
  Object.fromEntries(PER_POSITION.map((name) => [name, tf.slice(inputs[name], [row, from], [rows, n])])) as Inputs;

async function expectStates(actual: MLSTMState, expected: MLSTMState, atol = 1e-5) {
  for (const name of ['C', 'n', 'm'] as const) await expectClose(actual[name], expected[name], { atol, name });
}

describe.each(backendsForTest())('mlstm on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const policy = getKernelPolicy();
  afterEach(() => setKernelPolicy(policy));

  it.each(CASES)('agrees with the golden case mlstm_cell_%s: h, state, gradients in both conventions', async (name) => {
    const c: CellCase = loadCase('bolmo', `mlstm_cell_${name}`) as never;
    const golden = (n: string) => toTensor(c.tensors.get(n)!);
    // Golden files are (B, H, L, ...).
    const swap = (t: tf.Tensor) => tf.transpose(t, t.rank === 4 ? [0, 2, 1, 3] : [0, 2, 1]);
    const inputs = [swap(golden('q')), swap(golden('k')), swap(golden('v')), swap(golden('i_preact')), swap(golden('f_preact')), golden('c0'), golden('n0')];
    const m0 = tf.squeeze(golden('m0'), [2]);
    const call = (xs: tf.Tensor[], gradient: 'true' | 'published' = 'true') =>
      run({ q: xs[0]!, k: xs[1]!, v: xs[2]!, inputGate: xs[3]!, forgetGate: xs[4]! }, {
        ...(c.has_initial_state ? { initialState: { C: xs[5] as tf.Tensor4D, n: xs[6] as tf.Tensor3D, m: m0 as tf.Tensor2D } } : {}),
        chunkSize: c.reference_chunk_size,
        gradient,
      });
    const { h, finalState } = call(inputs);
    await expectClose(h, swap(golden('h')), { atol: 1e-4, rtol: 0, name: 'h' });
    await expectClose(finalState.C, golden('c_last'), { atol: 1e-4, rtol: 0, name: 'C' });
    await expectClose(finalState.n, golden('n_last'), { atol: 1e-4, rtol: 0, name: 'n' });
    await expectClose(finalState.m, tf.squeeze(golden('m_last'), [2]), { atol: 1e-4, rtol: 0, name: 'm' });

    const weight = swap(golden('loss_weight'));
    const letters = ['q', 'k', 'v', 'i', 'f', 'c0', 'n0'];
    for (const gradient of ['true', 'published'] as const) {
      const count = gradient === 'true' && c.has_initial_state ? 7 : 5;
      const grads = tf.grads((...xs: tf.Tensor[]) => tf.sum(tf.mul(call([...xs, ...inputs.slice(count)], gradient).h, weight)))(inputs.slice(0, count));
      for (let i = 0; i < count; i++) {
        const expected = golden(`grad_${gradient === 'true' ? '' : 'constdenom_'}${letters[i]}`);
        await expectClose(grads[i]!, i < 5 ? swap(expected) : expected, { ...GRADIENT, name: `${gradient} gradient of ${letters[i]}` });
      }
    }
  });

  it('steps through a golden case: h and m of every position', async () => {
    const c: CellCase = loadCase('bolmo', 'mlstm_cell_extreme_gates') as never;
    const golden = (n: string) => toTensor(c.tensors.get(n)!);
    const at = (n: string, t: number) => tf.squeeze(tf.slice(golden(n), [0, 0, t], [-1, -1, 1]), [2]);
    let state: MLSTMState = { C: golden('c0') as tf.Tensor4D, n: golden('n0') as tf.Tensor3D, m: tf.squeeze(golden('m0'), [2]) };
    for (let t = 0; t < c.S; t++) {
      const out = mlstmStep(at('q', t), { k: at('k', t), v: at('v', t), inputGate: at('i_preact', t), forgetGate: at('f_preact', t), state });
      await expectClose(out.h, at('h', t), { atol: 1e-4, rtol: 0, name: `h ${t}` });
      await expectClose(out.state.m, at('m_all', t), { atol: 1e-4, rtol: 0, name: `m ${t}` });
      state = out.state;
    }
  });

  it.each([1, 2, 63, 64, 65])('all forms and chunk sizes equal the token loop at length %i', async (length) => {
    const inputs = example(2, length);
    const initialState = stateOf(2, 2, 6, 5);
    setKernelPolicy('naive');
    const slow = run(inputs, { initialState });
    setKernelPolicy('auto');
    for (const options of [{}, { chunkSize: 7 }, { form: 'parallel' }, { form: 'recurrent' }] as const) {
      const fast = run(inputs, { initialState, ...options });
      await expectClose(fast.h, slow.h, { atol: 3e-5, name: JSON.stringify(options) });
      await expectStates(fast.finalState, slow.finalState, 3e-5);
    }
  });

  it('extreme gates: no NaN, forms agree, and a forget gate of -100000 forgets', async () => {
    const inputs = example(1, 40, { gates: 15 });
    const chunkwise = run(inputs, { chunkSize: 16 });
    await expectClose(chunkwise.h, run(inputs, { form: 'recurrent' }).h, { atol: 1e-4, rtol: 1e-4 });
    const reset = tf.mul(tf.ones([1, 40, 2]), tf.reshape(tf.tensor(Float32Array.from({ length: 40 }, (_, t) => (t === 20 ? -1e5 : 1))), [1, 40, 1]));
    const wiped = run({ ...inputs, forgetGate: reset });
    const alone = run({ ...part(inputs, 20, 20), forgetGate: tf.slice(reset, [0, 20], [1, 20]) });
    await expectClose(tf.slice(wiped.h, [0, 20], [1, 20]), alone.h, { atol: 5e-2, rtol: 5e-2, name: 'after the reset' });
    for (const gate of [-1000, 1000]) {
      const all = tf.fill([1, 40, 2], gate);
      for (const g of tf.grads((i, f) => tf.sum(run({ ...inputs, inputGate: i, forgetGate: f }).h))([all, tf.neg(all)])) {
        expect([...(await g.data())].every(Number.isFinite)).toBe(true);
      }
    }
  });

  it('a soft cap is applied to both gates, and differentiated', async () => {
    const inputs = example(1, 9, { gates: 30 });
    const cap = (t: tf.Tensor) => tf.mul(tf.tanh(tf.div(t, 5)), 5);
    const capped = run({ ...inputs, inputGate: cap(inputs.inputGate), forgetGate: cap(inputs.forgetGate) });
    const asked = (i: tf.Tensor, f: tf.Tensor) => run({ ...inputs, inputGate: i, forgetGate: f }, { gateSoftCap: 5 }).h;
    await expectClose(asked(inputs.inputGate, inputs.forgetGate), capped.h, { atol: 1e-5 });
    await checkGradients((i, f) => asked(i!, f!), [tf.mul(inputs.inputGate, 0.2), tf.mul(inputs.forgetGate, 0.2)], { samples: 4, eps: 2e-2 });
  });

  it('padding neither changes real positions nor the final state, and passes no gradient', async () => {
    const inputs = example(2, 21);
    const lengths = tf.tensor1d([21, 9], 'int32');
    const padded = run(inputs, { lengths, chunkSize: 8 });
    const alone = run(part(inputs, 0, 9, 1, 1), { chunkSize: 8 });
    await expectClose(tf.slice(padded.h, [1, 0], [1, 9]), alone.h, { atol: 1e-5 });
    for (const name of ['C', 'n', 'm'] as const) await expectClose(tf.slice(padded.finalState[name], [1], [1]), alone.finalState[name], { atol: 1e-5, name });
    const mask = tf.tensor(Float32Array.from({ length: 42 }, (_, i) => (i < 21 + 9 ? 1 : 0)), [2, 21, 1, 1]);
    const grads = tf.grads((...xs: tf.Tensor[]) => {
      const out = run({ q: xs[0]!, k: xs[1]!, v: xs[2]!, inputGate: xs[3]!, forgetGate: xs[4]! }, { lengths, chunkSize: 8 });
      return tf.add(tf.sum(tf.square(tf.mul(out.h, mask))), tf.sum(tf.square(out.finalState.C)));
    })(PER_POSITION.map((n) => inputs[n]));
    for (const g of grads) expect(Math.max(...(await tf.abs(tf.slice(g, [1, 9], [1, 12])).data()))).toBe(0);
  });

  it('packed documents equal separate ones, gradients too', async () => {
    const inputs = example(1, 40);
    const cuts = [0, 13, 14, 40];
    const documentIds = tf.tensor2d(Int32Array.from({ length: 40 }, (_, t) => (t < 13 ? 0 : t < 14 ? 1 : 5)), [1, 40], 'int32');
    const weight = uniform([1, 40, 2, 5], 9);
    const list = PER_POSITION.map((n) => inputs[n]);
    const named = (xs: tf.Tensor[]) => Object.fromEntries(PER_POSITION.map((n, i) => [n, xs[i]])) as Inputs;
    const pieces = (i: Inputs) => [0, 1, 2].map((d) => run(part(i, cuts[d]!, cuts[d + 1]! - cuts[d]!)));
    const [packed, separate] = [run(inputs, { documentIds, chunkSize: 16 }), pieces(inputs)];
    await expectClose(packed.h, tf.concat(separate.map((s) => s.h), 1) as tf.Tensor, { atol: 1e-5 });
    await expectStates(packed.finalState, separate[2]!.finalState);
    const gradsOf = (f: (i: Inputs) => { h: tf.Tensor; finalState: MLSTMState }) =>
      tf.grads((...xs: tf.Tensor[]) => {
        const { h, finalState } = f(named(xs));
        return tf.add(tf.sum(tf.mul(h, weight)), tf.add(tf.sum(finalState.C), tf.sum(finalState.m)));
      })(list);
    const [a, b] = [
      gradsOf((i) => run(i, { documentIds, chunkSize: 16 })),
      gradsOf((i) => {
        const all = pieces(i);
        return { h: tf.concat(all.map((s) => s.h), 1), finalState: all[2]!.finalState };
      }),
    ];
    for (const [i, g] of a.entries()) await expectClose(g, b[i]!, { atol: 5e-5, name: `gradient of ${PER_POSITION[i]}` });
  });

  it('a row whose first document is not 0 ignores the initial state', async () => {
    const inputs = example(1, 7);
    const documentIds = tf.fill([1, 7], 3, 'int32');
    const out = run(inputs, { documentIds, initialState: stateOf(1, 2, 6, 5) });
    const fresh = run(inputs);
    await expectClose(out.h, fresh.h, { atol: 1e-6 });
    await expectStates(out.finalState, fresh.finalState, 1e-6);
  });

  it('a sequence in two pieces equals the whole, gradients through the state too', async () => {
    const inputs = example(2, 50);
    const weight = uniform([2, 50, 2, 5], 9);
    const whole = (i: Inputs) => run(i).h;
    const pieces = (i: Inputs) => {
      const first = run(part(i, 0, 31));
      const second = run(part(i, 31, 19), { initialState: first.finalState });
      return tf.concat([first.h, second.h], 1);
    };
    await expectClose(pieces(inputs), whole(inputs), { atol: 2e-5 });
    const gradsOf = (f: (i: Inputs) => tf.Tensor) =>
      tf.grads((...xs: tf.Tensor[]) => tf.sum(tf.mul(f(Object.fromEntries(PER_POSITION.map((n, i) => [n, xs[i]])) as Inputs), weight)))(PER_POSITION.map((n) => inputs[n]));
    const [a, b] = [gradsOf(whole), gradsOf(pieces)];
    for (const [i, g] of a.entries()) await expectClose(g, b[i]!, { atol: 2e-4, rtol: 1e-3, name: `gradient of ${PER_POSITION[i]}` });
  });

  it.each([4, 64])('gradients equal finite differences, chunks of %i', async (chunkSize) => {
    const i = example(1, 11, { heads: 2, keyDim: 3, valueDim: 4, gates: 1 });
    const s = stateOf(1, 2, 3, 4);
    // Large eps: its way through the stabiliser shows.
    await checkGradients(
      (q, k, v, inputGate, forgetGate, C, n, m) => {
        const out = run({ q: q!, k: k!, v: v!, inputGate: inputGate!, forgetGate: forgetGate! }, { chunkSize, eps: 0.1, initialState: { C: C as tf.Tensor4D, n: n as tf.Tensor3D, m: m as tf.Tensor2D } });
        return [out.h, out.finalState.C, out.finalState.n, out.finalState.m];
      },
      [i.q, i.k, i.v, i.inputGate, i.forgetGate, s.C, s.n, s.m],
      { samples: 4, eps: 5e-3, names: ['q', 'k', 'v', 'inputGate', 'forgetGate', 'C', 'n', 'm'] },
    );
  });

  it('the kernel and the portable form give the same gradients in both conventions, documents and padding included', async () => {
    const inputs = example(2, 37, { gates: 5 });
    const s = stateOf(2, 2, 6, 5);
    const documentIds = tf.tensor2d(Int32Array.from({ length: 74 }, (_, t) => Math.floor((t % 37) / 15)), [2, 37], 'int32');
    const lengths = tf.tensor1d([37, 20], 'int32');
    const weight = uniform([2, 37, 2, 5], 9);
    for (const gradient of ['true', 'published'] as const) {
      const grads = (): tf.Tensor[] =>
        tf.grads((...xs: tf.Tensor[]) => {
          const { h, finalState: f } = run(Object.fromEntries(PER_POSITION.map((n, i) => [n, xs[i]])) as Inputs, {
            initialState: { C: xs[5] as tf.Tensor4D, n: xs[6] as tf.Tensor3D, m: xs[7] as tf.Tensor2D }, documentIds, lengths, gradient, chunkSize: 16, gateSoftCap: 15,
          });
          return tf.add(tf.add(tf.sum(tf.mul(h, weight)), tf.sum(f.C)), tf.add(tf.sum(tf.square(f.n)), tf.sum(f.m)));
        })([...PER_POSITION.map((n) => inputs[n]), s.C, s.n, s.m]);
      const fast = grads();
      setKernelPolicy('portable');
      const slow = grads();
      setKernelPolicy('auto');
      for (const [i, g] of fast.entries()) await expectClose(g, slow[i]!, { atol: 2e-4, rtol: 1e-3, name: `${gradient} gradient ${i}` });
    }
  });

  it('one row of a batch equals that row alone', async () => {
    const inputs = example(3, 30);
    await expectClose(tf.slice(run(inputs).h, [1], [1]), run(part(inputs, 0, 30, 1, 1)).h, { atol: 1e-6 });
  });

  it('frees what it makes', async () => {
    const { q, ...rest } = example(1, 9);
    const state = stateOf(1, 2, 6, 5);
    const train = () => tf.dispose(tf.valueAndGrad((x: tf.Tensor) => tf.sum(mlstm(x, { ...rest, gateSoftCap: 15 }).h))(q));
    const step = () => tf.tidy(() => void mlstmStep(positionAt(q, 0), { k: positionAt(rest.k, 0), v: positionAt(rest.v, 0), inputGate: positionAt(rest.inputGate, 0), forgetGate: positionAt(rest.forgetGate, 0), state }));
    train();
    step();
    await expectNoLeak(() => {
      train();
      step();
    });
  });
});

describe('mlstm arguments', () => {
  beforeAll(() => useBackend(backendsForTest()[0]!));
  it('are refused with the name, the expectation and what came', () => {
    const { q, ...rest } = example(2, 8);
    expect(() => mlstm(q, { ...rest, k: tf.zeros([2, 8, 2, 5]) })).toThrow(/\[mlstm\] `k`: expected shape \(B, L, H, K\) = \(2, 8, 2, 6\), got \(2, 8, 2, 5\)/);
    expect(() => mlstm(q, { ...rest, inputGate: tf.zeros([2, 8, 3]) })).toThrow(/inputGate/);
    expect(() => mlstm(q, { ...rest, initialState: { ...stateOf(2, 2, 6, 5), n: tf.zeros([2, 2, 5]) } })).toThrow(/initialState\.n/);
    expect(() => mlstm(q, { ...rest, documentIds: tf.zeros([2, 8]) })).toThrow(/int32/);
    expect(() => mlstm(q, { ...rest, gateSoftCap: 0 })).toThrow(/gateSoftCap/);
    expect(() => mlstm(q, { ...rest, chunkSize: 0 })).toThrow(/chunkSize/);
    expect(() => mlstm(q, { ...rest, form: 'serial' as never })).toThrow(/form/);
    expect(() => mlstm(q, { ...rest, gradient: 'both' as never })).toThrow(/gradient/);
  });
});
