import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stopGradient } from '../stop-gradient.js';
import { backendsForTest, useBackend } from '../testing/backends.js';
import { checkGradients, expectClose, expectNoLeak } from '../testing/expect.js';
import '../gradients.js';
import { defineOp, setKernelPolicy } from './define-op.js';

/** Two outputs, an optional input, an integer input: everything the registry has to carry. */
const spec = {
  name: 'TestGatherScale',
  inputs: ['x', 'index', 'bias'] as const,
  saveOutputs: [true, false],
  portable: ({ x, index, bias }: any, { s }: { s: number }) => {
    const g = tf.mul(tf.gather(x, index), s);
    const y = bias ? tf.add(g, bias) : g;
    return [y, tf.sum(y, -1)];
  },
  naive: ({ x }: any) => [tf.fill([1, x.shape[1]], 42), tf.zeros([1])],
  gradient: ({ dys: [dy, dt], inputs: { x, index, bias }, outputs, attrs: { s } }: any) => {
    if (outputs[0].shape.length !== 2 || outputs[1] !== undefined) throw new Error('saved outputs are not at their place');
    const g = tf.add(dy, tf.expandDims(dt, -1));
    const hot = tf.oneHot(index, x.shape[0]) as tf.Tensor2D;
    return { x: tf.mul(tf.matMul(tf.cast(hot, 'float32'), g as tf.Tensor2D, true, false), s), ...(bias && { bias: tf.sum(g, 0) }) };
  },
};
const op = defineOp<'x' | 'index' | 'bias', { s: number }>(spec as never);
/** A second definition under the same name, as a second copy of a package in the process would make. */
const again = defineOp<'x' | 'index' | 'bias', { s: number }>({ ...spec, portable: () => [tf.zeros([1]), tf.zeros([1])] } as never);

describe.each(backendsForTest())('defineOp on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(() => setKernelPolicy('auto'));
  const x = () => tf.tensor2d([[1, 2], [3, 4], [5, 6]]);
  const index = () => tf.tensor1d([2, 0, 2], 'int32');

  it('returns every output; optional inputs may be absent', async () => {
    const [y, total] = op({ x: x(), index: index() }, { s: 2 });
    await expectClose(y!, [10, 12, 2, 4, 10, 12]);
    await expectClose(total!, [22, 6, 22]);
    await expectClose(op({ x: x(), index: index(), bias: tf.tensor1d([1, -1]) }, { s: 2 })[0]!, [11, 11, 3, 3, 11, 11]);
  });

  it('has the gradient of all outputs, with and without the optional input', async () => {
    const i = index();
    await checkGradients((a) => op({ x: a, index: i }, { s: 2 }), [x()]);
    await checkGradients((a, b) => op({ x: a, index: i, bias: b }, { s: 2 }), [x(), tf.tensor1d([0.5, 1])]);
  });

  it('registers once: a second copy uses the first one', async () => {
    op({ x: x(), index: index() }, { s: 2 });
    await expectClose(again({ x: x(), index: index() }, { s: 2 })[1]!, [22, 6, 22]);
  });

  it('can be forced to its definition', async () => {
    setKernelPolicy('naive');
    await expectClose(op({ x: x(), index: index() }, { s: 2 })[0]!, [42, 42]);
  });

  it('says which input has no gradient', () => {
    const broken = defineOp<'x', object>({ name: 'TestNoGradient', inputs: ['x'], portable: ({ x: a }) => [tf.clone(a!)], gradient: () => ({}) });
    expect(() => tf.grad((a) => tf.sum(broken({ x: a }, {})[0]!))(x())).toThrow('[TestNoGradient] input `x` is not differentiable');
  });

  it('stopGradient cuts the tape and shares the values', async () => {
    const g = tf.grad((a) => tf.sum(tf.mul(a, tf.cast(tf.greater(stopGradient(a), 2.5), 'float32'))))(x());
    await expectClose(g, [0, 0, 1, 1, 1, 1]);
    const a = x();
    const s = stopGradient(a);
    a.dispose();
    await expectClose(s, [1, 2, 3, 4, 5, 6]);
  });

  it('does not leak', () =>
    expectNoLeak(() => {
      tf.tidy(() => {
        const i = index();
        tf.grad((a) => tf.sum(op({ x: a, index: i }, { s: 2 })[1]!))(x());
      });
    }));
});
