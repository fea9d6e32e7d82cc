import { backendsForTest, checkGradients, expectClose, expectNoLeak, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { causalConv1d, causalConv1dStep } from './causal-conv1d.js';

const random = (shape: number[], seed: number) => tf.randomUniform(shape, -1, 1, 'float32', seed);
const at = (t: tf.Tensor, i: number) => tf.squeeze(tf.slice(t, [0, i], [t.shape[0]!, 1]), [1]);

describe.each(backendsForTest())('causalConv1d on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(['plain', 'silu', 'init', 'short', 'seqidx'])('agrees with the golden case conv_%s, forward and gradients', async (name) => {
    const c = loadCase('kernels', `conv_${name}`);
    const golden = (n: string) => c.tensors.get(n);
    const input = (n: string) => golden(`in.${n}`) && toTensor(golden(`in.${n}`)!);
    const names = ['x', 'weight', 'bias', 'initial_state'].filter((n) => golden(`in.${n}`));
    const run = (xs: tf.Tensor[]) => {
      const by = Object.fromEntries(names.map((n, i) => [n, xs[i]!])) as Record<string, tf.Tensor>;
      return causalConv1d(by.x!, {
        weight: by.weight!, bias: by.bias, initialState: by.initial_state, documentIds: input('seq_idx'),
        activation: c.attrs.activation === 'silu' ? 'silu' : 'none',
      });
    };
    const inputs = names.map((n) => input(n)!);
    const { y, lastState } = run(inputs);
    await expectClose(y, golden('out.y')!.values, { atol: c.tol['out.y'], rtol: 0, name: 'y' });
    await expectClose(lastState, golden('out.final_state')!.values, { atol: c.tol['out.final_state'], rtol: 0, name: 'lastState' });
    const [cotY, cotState] = [toTensor(golden('cot.y')!), toTensor(golden('cot.final_state')!)];
    const grads = tf.grads((...xs: tf.Tensor[]) => {
      const out = run(xs);
      return tf.add(tf.sum(tf.mul(out.y, cotY)), tf.sum(tf.mul(out.lastState, cotState)));
    })(inputs);
    for (const [i, n] of names.entries()) {
      expect(grads[i]!.shape).toEqual(golden(`grad.${n}`)!.shape);
      await expectClose(grads[i]!, golden(`grad.${n}`)!.values, { atol: c.tol[`grad.${n}`], rtol: 0, name: `grad.${n}` });
    }
  });

  it('steps as the golden case conv_step does', async () => {
    const c = loadCase('kernels', 'conv_step');
    const t = (n: string) => toTensor(c.tensors.get(n)!);
    let state = t('in.state');
    for (let i = 0; i < t('in.x').shape[1]!; i++) {
      const out = causalConv1dStep(at(t('in.x'), i), { weight: t('in.weight'), bias: t('in.bias'), activation: 'silu', state });
      await expectClose(out.y, at(t('out.y'), i), { atol: c.tol['out.y'], rtol: 0 });
      state = out.state;
    }
    await expectClose(state, t('out.final_state'), { atol: c.tol['out.final_state'], rtol: 0 });
  });

  it.each([1, 2, 63, 64, 65])('length %i equals steps from an empty state', async (length) => {
    const [x, weight, bias] = [random([2, length, 5], 1), random([5, 1, 4], 2), random([5], 3)];
    const { y, lastState } = causalConv1d(x, { weight, bias, activation: 'silu' });
    let state: tf.Tensor = tf.zeros([2, 3, 5]);
    for (let i = 0; i < length; i++) {
      const out = causalConv1dStep(at(x, i), { weight, bias, activation: 'silu', state });
      await expectClose(out.y, at(y, i), { atol: 1e-6 });
      state = out.state;
    }
    await expectClose(state, lastState, { atol: 0, rtol: 0 });
  });

  it('the last state ends at the length of its row, and its gradient goes there', async () => {
    const [x, weight, s0] = [random([3, 7, 2], 1), random([2, 4], 2), random([3, 3, 2], 3)];
    const lengths = tf.tensor1d([7, 2, 0], 'int32');
    const run = (x: tf.Tensor, initialState: tf.Tensor) => causalConv1d(x, { weight, initialState, lengths }).lastState;
    const expected = tf.stack([
      tf.slice(x, [0, 4, 0], [1, 3, 2]),
      tf.concat([tf.slice(s0, [1, 2, 0], [1, 1, 2]), tf.slice(x, [1, 0, 0], [1, 2, 2])], 1),
      tf.slice(s0, [2, 0, 0], [1, 3, 2]),
    ] as tf.Tensor[]);
    await expectClose(run(x, s0), tf.reshape(expected, [3, 3, 2]), { atol: 0, rtol: 0 });
    await checkGradients((x, s) => run(x!, s!), [x, s0], { samples: 50 });
  });

  it('gradients equal finite differences, with documents', async () => {
    const ids = tf.tensor2d([[0, 0, 1, 1, 1, 4], [2, 2, 2, 2, 3, 3]], [2, 6], 'int32');
    await checkGradients(
      (x, weight, bias, initialState) => {
        const out = causalConv1d(x!, { weight: weight!, bias, initialState, documentIds: ids, activation: 'silu' });
        return [out.y, out.lastState];
      },
      [random([2, 6, 3], 1), random([3, 4], 2), random([3], 3), random([2, 3, 3], 4)],
      { names: ['x', 'weight', 'bias', 'initialState'] },
    );
  });

  it('frees what it makes', async () => {
    const [x, weight, bias] = [random([2, 9, 4], 1), random([4, 4], 2), random([4], 3)];
    const run = () => tf.dispose(tf.valueAndGrad((v: tf.Tensor) => tf.sum(causalConv1d(v, { weight, bias, activation: 'silu' }).y))(x));
    run();
    await expectNoLeak(run);
  });

  it('refuses what does not fit', () => {
    const x = random([2, 9, 4], 1);
    expect(() => causalConv1d(x, { weight: random([5, 4], 2) })).toThrow(/\[causalConv1d\] `weight`: expected shape \(C, K\) = \(4, K\), got \(5, 4\)/);
    expect(() => causalConv1d(x, { weight: random([4, 4], 2), initialState: random([2, 4, 4], 3) })).toThrow(/initialState/);
  });
});
