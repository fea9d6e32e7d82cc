import { backendsForTest, checkGradients, expectClose, expectNoLeak, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import { getKernelPolicy, setKernelPolicy } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ssd } from './ssd.js';
import { ssdStep } from './ssd-step.js';
import { ssdVarlenStates } from './ssd-varlen-states.js';

const CASES = ['basic', 'exact_chunks', 'groups', 'groups3_Dhp', 'init', 'seqidx', 'seqidx_init', 'dtlimit', 'strong_decay', 'weak_decay', 'short', 'len1', 'real_dims'];

/** Golden name to argument name. */
const ARGUMENTS: Record<string, string> = { seq_idx: 'documentIds', dt_bias: 'dtBias', initial_state: 'initialState' };
const argument = (name: string) => ARGUMENTS[name] ?? name;

function inputsOf(c: ReturnType<typeof loadCase>): Record<string, tf.Tensor> {
  const named = [...c.tensors].filter(([n]) => n.startsWith('in.'));
  return Object.fromEntries(named.map(([n, t]) => [argument(n.slice(3)), toTensor(t)]));
}

const random = (shape: number[], seed: number, low = -1, high = 1) => tf.randomUniform(shape, low, high, 'float32', seed);

/** Inputs of a made-up call. */
function example(batch: number, length: number, { heads = 4, headDim = 6, groups = 2, state = 5 } = {}) {
  return {
    x: random([batch, length, heads, headDim], 1) as tf.Tensor4D,
    dt: random([batch, length, heads], 2, -3, 1),
    A: random([heads], 3, -4, -0.5),
    B: random([batch, length, groups, state], 4),
    C: random([batch, length, groups, state], 5),
    D: random([heads], 6),
    dtBias: random([heads], 7),
  };
}

describe.each(backendsForTest())('ssd on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const policy = getKernelPolicy();
  afterEach(() => setKernelPolicy(policy));

  it.each(CASES)('agrees with the golden case ssd_%s, forward and gradients', async (name) => {
    const c = loadCase('kernels', `ssd_${name}`);
    const golden = (n: string) => c.tensors.get(n)!;
    const inputs = inputsOf(c);
    const differentiable = Object.keys(inputs).filter((n) => n !== 'documentIds');
    const options = {
      dtSoftplus: c.attrs.dt_softplus as boolean,
      dtLimit: (c.attrs.dt_limit ?? undefined) as [number, number] | undefined,
      chunkSize: c.attrs.chunk_size as number,
    };
    const run = (named: Record<string, tf.Tensor>) => {
      const { x, ...rest } = named;
      return ssd(x!, { ...(rest as never as Parameters<typeof ssd>[1]), ...options, returnFinalState: true });
    };
    const { y, finalState } = run(inputs);
    await expectClose(y, golden('out.y').values, { atol: c.tol['out.y'], rtol: 0, name: 'y' });
    await expectClose(finalState, golden('out.final_state').values, { atol: c.tol['out.final_state'], rtol: 0, name: 'finalState' });

    const cotY = toTensor(golden('cot.y'));
    const cotState = toTensor(golden('cot.final_state'));
    const grads = tf.grads((...xs: tf.Tensor[]) => {
      const out = run({ ...inputs, ...Object.fromEntries(differentiable.map((n, i) => [n, xs[i]!])) });
      return tf.add(tf.sum(tf.mul(out.y, cotY)), tf.sum(tf.mul(out.finalState, cotState)));
    })(differentiable.map((n) => inputs[n]!));
    for (const [n, t] of c.tensors) {
      if (!n.startsWith('grad.')) continue;
      const g = grads[differentiable.indexOf(argument(n.slice(5)))]!;
      expect(g.shape).toEqual(t.shape);
      await expectClose(g, t.values, { atol: c.tol[n]!, rtol: 0, name: n });
    }
  });

  it('gives the final state of every packed sequence', async () => {
    const c = loadCase('kernels', 'ssd_varlen_states');
    const { x, cu_seqlens: cuts, ...rest } = inputsOf(c);
    const states = ssdVarlenStates(x as tf.Tensor4D, { ...(rest as never as Parameters<typeof ssd>[1]), dtSoftplus: true, cuSeqlens: await cuts!.data() });
    await expectClose(states, c.tensors.get('out.states')!.values, { atol: c.tol['out.states'], rtol: 0 });
  });

  it('steps as the golden case ssm_step does', async () => {
    const c = loadCase('kernels', 'ssm_step');
    const { x, dt, B, C, z, state, ...rest } = inputsOf(c) as Record<string, tf.Tensor>;
    const at = (t: tf.Tensor | undefined, i: number) => tf.squeeze(tf.slice(t!, [0, i], [t!.shape[0]!, 1]), [1]);
    let s = state!;
    for (let i = 0; i < 5; i++) {
      const out = ssdStep(at(x, i), { A: rest.A!, D: rest.D, dtBias: rest.dtBias, dt: at(dt, i), B: at(B, i), C: at(C, i), z: at(z, i), state: s, dtSoftplus: true });
      await expectClose(out.y, at(toTensor(c.tensors.get('out.y')!), i), { atol: c.tol['out.y'], rtol: 0 });
      await expectClose(out.state, at(toTensor(c.tensors.get('out.states')!), i), { atol: c.tol['out.states'], rtol: 0 });
      s = out.state;
    }
  });

  it.each([1, 2, 63, 64, 65])('the chunked form equals the token loop at length %i', async (length) => {
    const { x, ...rest } = example(2, length);
    const options = { ...rest, dtSoftplus: true, initialState: random([2, 4, 6, 5], 8), returnFinalState: true } as const;
    const fast = ssd(x, options);
    setKernelPolicy('naive');
    const slow = ssd(x, options);
    await expectClose(fast.y, slow.y, { atol: 2e-5 });
    await expectClose(fast.finalState, slow.finalState, { atol: 2e-5 });
  });

  it('padding neither changes real positions nor the final state, and passes no gradient', async () => {
    const { x, dt, A, B, C, D, dtBias } = example(2, 21);
    const lengths = tf.tensor1d([21, 9], 'int32');
    const run = (xs: tf.Tensor[]) => ssd(xs[0]!, { dt: xs[1]!, A, B: xs[2]!, C: xs[3]!, D, dtBias, dtSoftplus: true, lengths, returnFinalState: true, chunkSize: 8 });
    const padded = run([x, dt, B, C]);
    const part = (t: tf.Tensor) => tf.slice(t, [1, 0], [1, 9]);
    const alone = ssd(part(x), { dt: part(dt), A, B: part(B), C: part(C), D, dtBias, dtSoftplus: true, returnFinalState: true });
    await expectClose(part(padded.y), alone.y, { atol: 1e-5 });
    await expectClose(tf.slice(padded.finalState, [1], [1]), alone.finalState, { atol: 1e-5 });
    const mask = tf.tensor(Float32Array.from({ length: 42 }, (_, i) => (i < 21 + 9 ? 1 : 0)), [2, 21, 1, 1]);
    const grads = tf.grads((...xs: tf.Tensor[]) => {
      const out = run(xs);
      return tf.add(tf.sum(tf.square(tf.mul(out.y, mask))), tf.sum(tf.square(out.finalState)));
    })([x, dt, B, C]);
    for (const g of grads) expect(Math.max(...(await tf.abs(tf.slice(g, [1, 9], [1, 12])).data()))).toBe(0);
  });

  it('packed documents equal separate ones', async () => {
    const { x, dt, A, B, C } = example(1, 40);
    const cuts = [0, 13, 14, 40];
    const ids = Int32Array.from({ length: 40 }, (_, t) => (t < 13 ? 0 : t < 14 ? 1 : 5));
    const packed = ssd(x, { dt, A, B, C, dtSoftplus: true, chunkSize: 16, documentIds: tf.tensor2d(ids, [1, 40], 'int32') });
    const parts = [0, 1, 2].map((i) => {
      const part = (t: tf.Tensor) => tf.slice(t, [0, cuts[i]!], [1, cuts[i + 1]! - cuts[i]!]);
      return ssd(part(x), { dt: part(dt), A, B: part(B), C: part(C), dtSoftplus: true }).y;
    });
    await expectClose(packed.y, tf.concat(parts, 1) as tf.Tensor, { atol: 1e-5 });
  });

  it('a sequence in two pieces equals the whole', async () => {
    const { x, dt, A, B, C } = example(2, 50);
    const whole = ssd(x, { dt, A, B, C, dtSoftplus: true, returnFinalState: true });
    const piece = (from: number, n: number, initialState?: tf.Tensor) => {
      const part = (t: tf.Tensor) => tf.slice(t, [0, from], [2, n]);
      return ssd(part(x), { dt: part(dt), A, B: part(B), C: part(C), dtSoftplus: true, initialState, returnFinalState: true });
    };
    const first = piece(0, 31);
    const second = piece(31, 19, first.finalState);
    await expectClose(tf.concat([first.y, second.y], 1) as tf.Tensor, whole.y, { atol: 1e-5 });
    await expectClose(second.finalState, whole.finalState, { atol: 1e-5 });
  });

  it('one chunk and many give the same gradients, without states at the ends too', async () => {
    const { x, dt, A, B, C, D, dtBias } = example(2, 13);
    const inputs = [x, dt, A, B, C, D, dtBias];
    const weights = random([2, 13, 4, 6], 11);
    const gradsWith = (chunkSize: number) =>
      tf.grads((x: tf.Tensor, dt: tf.Tensor, A: tf.Tensor, B: tf.Tensor, C: tf.Tensor, D: tf.Tensor, dtBias: tf.Tensor) =>
        tf.sum(tf.mul(ssd(x, { dt, A, B, C, D, dtBias, dtSoftplus: true, chunkSize }).y, weights)),
      )(inputs);
    const [one, many] = [gradsWith(64), gradsWith(3)];
    for (const i of inputs.keys()) await expectClose(one[i]!, many[i]!, { atol: 2e-5, name: `gradient ${i}` });
  });

  it('gradients equal finite differences', async () => {
    const { x, dt, A, B, C, D, dtBias } = example(1, 11, { heads: 2, headDim: 3, groups: 1, state: 4 });
    const z = random([1, 11, 2, 3], 9);
    const s0 = random([1, 2, 3, 4], 10);
    await checkGradients(
      (x, dt, A, B, C, D, dtBias, z, initialState) => {
        const out = ssd(x!, { dt: dt!, A: A!, B: B!, C: C!, D, dtBias, z, initialState, dtSoftplus: true, chunkSize: 4, returnFinalState: true });
        return [out.y, out.finalState];
      },
      [x, dt, A, B, C, D, dtBias, z, s0],
      { samples: 4, names: ['x', 'dt', 'A', 'B', 'C', 'D', 'dtBias', 'z', 'initialState'] },
    );
  });

  it('frees what it makes', async () => {
    const { x, ...rest } = example(1, 9);
    const run = () => tf.dispose(tf.valueAndGrad((v: tf.Tensor) => tf.sum(ssd(v, { ...rest, dtSoftplus: true }).y))(x));
    run();
    await expectNoLeak(run);
  });
});

describe('ssd arguments', () => {
  beforeAll(() => useBackend(backendsForTest()[0]!));
  it('are refused with the name, the expectation and what came', () => {
    const { x, ...rest } = example(2, 8);
    expect(() => ssd(x, { ...rest, dt: tf.zeros([2, 8, 8]) })).toThrow(/\[ssd\] `dt`: expected shape \(B, L, H\) = \(2, 8, 4\), got \(2, 8, 8\)/);
    expect(() => ssd(x, { ...rest, B: tf.zeros([2, 8, 3, 5]), C: tf.zeros([2, 8, 3, 5]) })).toThrow(/multiple of the number of groups/);
    expect(() => ssd(x, { ...rest, initialState: tf.zeros([2, 4, 5, 6]) })).toThrow(/initialState/);
    expect(() => ssd(x, { ...rest, documentIds: tf.zeros([2, 8]) })).toThrow(/int32/);
    expect(() => ssd(x, { ...rest, dtLimit: [1, 0] })).toThrow(/dtLimit/);
    expect(() => ssd(x, { ...rest, chunkSize: 0 })).toThrow(/chunkSize/);
  });
});
