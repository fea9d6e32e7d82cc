import * as tf from '@tensorflow/tfjs-core';
import { Rng, silu, splitSwiglu } from '@bytelm/core';
import { backendsForTest, expectClose, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { SwiGLU } from './swiglu.js';

describe.each(backendsForTest())('SwiGLU on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it.each(['swiglu_gate_first', 'swiglu_gate_last'])('%s', async (name) => {
    const { attrs, tensors, tol } = loadCase('kernels', name);
    const order = attrs.gate_first ? 'gate-value' : 'value-gate';
    const { value, grad } = tf.valueAndGrad((h) => splitSwiglu(h, { order }))(toTensor(tensors.get('in.h')!), toTensor(tensors.get('cot.y')!));
    await expectClose(value, toTensor(tensors.get('out.y')!), { atol: tol['out.y']!, rtol: 0 });
    await expectClose(grad, toTensor(tensors.get('grad.h')!), { atol: tol['grad.h']!, rtol: 0 });
  });

  it('rounds its width up and takes H-Net’s order: value first, gate second', async () => {
    const mlp = new SwiGLU({ dModel: 6, dIntermediate: 130, multipleOf: 128, initStd: 0.3 }, new Rng(1));
    expect([...mlp.parameters()].map(([name, p]) => [name, ...p.shape])).toEqual([['fc1.weight', 512, 6], ['fc2.weight', 6, 256]]);
    const x = new Rng(2).normal([2, 3, 6]);
    const by = (w: tf.Tensor) => tf.matMul(tf.reshape(x, [6, 6]), w as tf.Tensor2D, false, true);
    const [value, gate] = tf.split(mlp.inputs[0].weight as tf.Tensor, 2, 0).map((w) => by(w));
    const expected = tf.matMul(tf.mul(silu(gate!), value!) as tf.Tensor2D, mlp.down.weight as tf.Tensor as tf.Tensor2D, false, true);
    await expectClose(mlp.forward(x), tf.reshape(expected, [2, 3, 6]), { atol: 1e-5 });
  });
});
