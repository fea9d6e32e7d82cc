import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addRmsNorm, crossEntropy, embedding, gatherRows, linear, linearCrossEntropy, matMul, packedLinear, packWeight, rmsNorm, rmsNormGated, sampleIds, scan, segmentPool, silu, splitLast,
  splitSwiglu, swiglu,
} from '../index.js';
import { expectKernel, integerTensor, randomTensors, useBackend, wgslOf } from '../testing/index.js';
import { adamwStep, sumSquares } from './adamw/op.js';

const random = randomTensors(70);

/** Forward and backward pass of one op; inputs are made before. */
interface Case {
  inputs: tf.Tensor[];
  /** `others` are not differentiable. */
  others?: tf.Tensor[];
  f: (inputs: tf.Tensor[], others: tf.Tensor[]) => tf.Tensor;
  /** Kernels of the forward pass and of the gradient. */
  keys: [RegExp, RegExp?];
  /** The text depends on the device's choice of tiles. */
  isDeviceOwn?: boolean;
}

const ids = (n: number, modulus: number) => integerTensor([n], (i) => i % modulus);
const cases: Record<string, () => Case> = {
  matMul: () => ({ inputs: [random(5, 8), random(8, 4)], f: ([a, b]) => matMul(a!, b!), keys: [/^matmul product/, /^matmul product/], isDeviceOwn: true }),
  linear: () => ({ inputs: [random(6, 8), random(4, 8), random(4)], f: ([x, w, b]) => linear(x!, w!, b), keys: [/^matmul product/, /^sum of rows/], isDeviceOwn: true }),
  'linear, one row': () => ({ inputs: [random(1, 8), random(4, 8)], f: ([x, w]) => linear(x!, w!), keys: [/^gemv f32 1 rows/], isDeviceOwn: true }),
  rmsNorm: () => ({ inputs: [random(5, 12), random(12)], f: ([x, w]) => rmsNorm(x!, w!), keys: [/^rms norm vec4f/, /^rms norm gradient/] }),
  addRmsNorm: () => ({ inputs: [random(5, 7), random(5, 7), random(7)], f: ([x, r, w]) => addRmsNorm(x!, r!, w!).normed, keys: [/^rms norm f32 .* of a sum/, /^rms norm gradient and more/] }),
  rmsNormGated: () => ({ inputs: [random(5, 8), random(5, 8), random(8)], f: ([x, z, w]) => rmsNormGated(x!, z!, w!), keys: [/^gated norm/, /^gated norm gradient/] }),
  'rmsNormGated, norm first': () => ({ inputs: [random(5, 8), random(5, 8), random(8)], f: ([x, z, w]) => rmsNormGated(x!, z!, w!, { normBeforeGate: true, groupSize: 4 }), keys: [/^gated norm .*norm first/, /^gated norm gradient norm first/] }),
  silu: () => ({ inputs: [random(3, 4)], f: ([x]) => silu(x!), keys: [/^silu vec4f/, /^silu gradient/] }),
  swiglu: () => ({ inputs: [random(3, 5), random(3, 5)], f: ([g, u]) => swiglu(g!, u!), keys: [/^swiglu f32/, /^swiglu gradient/] }),
  splitSwiglu: () => ({ inputs: [random(3, 8)], f: ([x]) => splitSwiglu(x!, { order: 'value-gate' }), keys: [/^split swiglu/, /^split swiglu gradient/] }),
  splitLast: () => ({ inputs: [random(3, 8)], f: ([x]) => splitLast(x!, [8])[0]!, keys: [/^take columns/, /^put columns/] }),
  embedding: () => ({ inputs: [random(7, 4)], others: [ids(9, 7)], f: ([t], [i]) => embedding(t!, i!), keys: [/^gather rows/, /^scatter rows/] }),
  gatherRows: () => ({ inputs: [random(1, 7, 3)], others: [integerTensor([1, 9], (i) => (i % 8) - 1)], f: ([x], [i]) => gatherRows(x!, i!), keys: [/^gather rows/, /^sort ranks/] }),
  crossEntropy: () => ({ inputs: [random(5, 8)], others: [ids(5, 8)], f: ([x], [l]) => crossEntropy(x!, l!), keys: [/^mean loss/, /^cross-entropy gradient/] }),
  linearCrossEntropy: () => ({ inputs: [random(5, 8), random(12, 8)], others: [ids(5, 12)], f: ([h, w], [l]) => linearCrossEntropy(h!, w!, l!), keys: [/^cross-entropy/, /^matmul weight gradient/], isDeviceOwn: true }),
  scan: () => ({ inputs: [random(2, 140, 3), random(2, 140), random(2, 3)], others: [integerTensor([2, 140], (i) => Math.floor(i / 9))], f: ([b, a, h], [d]) => scan(b!, a!, { initialState: h!, documentIds: d! }).y, keys: [/^scan shared documents, blocks/, /^scan gradient/] }),
  'segmentPool max': () => ({ inputs: [random(1, 9, 3)], others: [integerTensor([1, 9], (i) => Math.floor(i / 4))], f: ([x], [i]) => segmentPool(x!, i!, 3, 'max'), keys: [/^segment max/, /^segment max gradient/] }),
  'segmentPool mean': () => ({ inputs: [random(1, 9, 3)], others: [integerTensor([1, 9], (i) => Math.floor(i / 4))], f: ([x], [i]) => segmentPool(x!, i!, 3, 'mean'), keys: [/^segment mean/, /^segment mean gradient/] }),
  sampleIds: () => ({ inputs: [], others: [random(2, 40), random(2)], f: (_, [l, u]) => sampleIds(l!, u!, { topK: 5 }), keys: [/^sample of/] }),
  'sampleIds, greedy': () => ({ inputs: [], others: [random(2, 40), random(2)], f: (_, [l, u]) => sampleIds(l!, u!, { temperature: 0 }), keys: [/^greedy/] }),
};

describe('WGSL of the core ops', () => {
  beforeAll(() => useBackend('webgpu'));
  const made: tf.Tensor[] = [];
  afterAll(() => tf.dispose(made));

  it.each(Object.keys(cases))('%s runs kernels only, forward and backward, of this text', async (name) => {
    const { inputs, others = [], f, keys, isDeviceOwn } = cases[name]!();
    const dy = tf.tidy(() => tf.randomNormal(f(inputs, others).shape));
    made.push(...inputs, ...others, dy);
    const forward = () => f(inputs, others);
    expectKernel(forward, keys[0]);
    const both = () => (keys[1] ? tf.grads((...x: tf.Tensor[]) => f(x, others))(inputs, dy) : forward());
    if (keys[1]) expectKernel(both, keys[1]);
    if (!isDeviceOwn) expect(wgslOf(both)).toMatchSnapshot();
  });

  it('AdamW, norms of gradients and packed weights run kernels only', async () => {
    const [param, m, v, grad, x] = [random(5, 4), random(5, 4), tf.ones([5, 4]), random(5, 4), random(7, 8)];
    const packed = packWeight(new Float32Array(32), [4, 8], 'int8', { group: 8 });
    made.push(param, m, v, grad, x, packed.words, packed.scales!);
    expectKernel(() => adamwStep({ param, m, v, grad }, { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, step: 1 }), /^adamw/);
    expectKernel(() => sumSquares({ x: grad }, {}), /^sum squares/);
    expectKernel(() => packedLinear(x, packed), /^matmul packed.*int8 k4/);
    const { kernels } = expectKernel(() => tf.grad((v) => packedLinear(v, packed))(x, random(7, 4)), /^matmul packed gradient.*int8 outer4/);
    // The weight is not unpacked in memory.
    expect(Object.keys(kernels).filter((key) => key.startsWith('unpack'))).toEqual([]);
  });
});
