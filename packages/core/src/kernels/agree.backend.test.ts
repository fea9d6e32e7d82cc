import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, it } from 'vitest';
import {
  addRmsNorm, crossEntropy, embedding, gatherRows, linear, linearCrossEntropy, matMul, rmsNorm, rmsNormGated, scan, segmentPool, setKernelPolicy, silu,
  splitSwiglu, swiglu, type KernelPolicy, type PoolMode,
} from '../index.js';
import { backendsForTest, expectClose, expectNoLeak, useBackend } from '../testing/index.js';

/** `f` of differentiable inputs; integer inputs are closed over. */
interface Case {
  inputs: tf.Tensor[];
  f: (...x: any[]) => tf.Tensor | tf.Tensor[];
}

let seed = 0;
const random = (...shape: number[]) => tf.randomUniform(shape, -1, 1, 'float32', ++seed);
/** Integer inputs of the case at hand; the test disposes them. */
const kept: tf.Tensor[] = [];
function integers(shape: number[], f: (i: number) => number): tf.Tensor {
  const t = tf.keep(tf.tensor(Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => f(i)), shape, 'int32'));
  kept.push(t);
  return t;
}

const cases: Record<string, (n: number) => Case> = {
  'matMul NN': (n) => ({ inputs: [random(2, n, 5), random(2, 5, n)], f: (a, b) => matMul(a, b) }),
  'matMul NT': (n) => ({ inputs: [random(2, 3, n), random(2, 65, n)], f: (a, b) => matMul(a, b, { transposeB: true }) }),
  'matMul TN': (n) => ({ inputs: [random(1, 65, n), random(1, 65, 9)], f: (a, b) => matMul(a, b, { transposeA: true }) }),
  'matMul TT': (n) => ({ inputs: [random(n, 7), random(66, n)], f: (a, b) => matMul(a, b, { transposeA: true, transposeB: true }) }),
  'matMul shared b': (n) => ({ inputs: [random(2, 3, n, 4), random(4, 6)], f: (a, b) => matMul(a, b) }),
  'matMul shared b, transposed a': (n) => ({ inputs: [random(2, 4, n), random(4, 6)], f: (a, b) => matMul(a, b, { transposeA: true }) }),
  'matMul column': (n) => ({ inputs: [random(2, 17, n), random(2, n, 1)], f: (a, b) => matMul(a, b) }),
  'matMul transposed column': (n) => ({ inputs: [random(n, 17), random(1, n)], f: (a, b) => matMul(a, b, { transposeA: true, transposeB: true }) }),
  'linear, one row': (n) => ({ inputs: [random(1, n), random(66, n), random(66)], f: (x, w, b) => linear(x, w, b) }),
  'linear, rows': (n) => ({ inputs: [random(2, 5, 9), random(n, 9), random(n)], f: (x, w, b) => linear(x, w, b) }),
  'linear without bias': (n) => ({ inputs: [random(n, 300), random(5, 300)], f: (x, w) => linear(x, w) }),
  gatherRows: (n) => {
    const idx = integers([2, n], (i) => ((i * 5) % 9) - 1);
    return { inputs: [random(2, 7, n)], f: (x) => gatherRows(x, idx) };
  },
  embedding: (n) => {
    const ids = integers([3, n], (i) => (i * 7) % 11);
    return { inputs: [random(11, n)], f: (t) => embedding(t, ids) };
  },
  rmsNorm: (n) => ({ inputs: [random(3, n), random(n)], f: (x, w) => rmsNorm(x, w) }),
  'rmsNorm in groups': (n) => ({ inputs: [random(2, 2, 3 * n), random(3 * n)], f: (x, w) => rmsNorm(x, w, { groupSize: n, eps: 1e-2 }) }),
  addRmsNorm: (n) => ({ inputs: [random(3, n), random(3, n), random(n)], f: (x, r, w) => Object.values(addRmsNorm(x, r, w)) }),
  rmsNormGated: (n) => ({ inputs: [random(3, n), random(3, n), random(n)], f: (x, z, w) => rmsNormGated(x, z, w, { eps: 1e-2 }) }),
  'rmsNormGated, norm first': (n) => ({
    inputs: [random(3, 2 * n), random(3, 2 * n), random(2 * n)],
    f: (x, z, w) => rmsNormGated(x, z, w, { groupSize: n, normBeforeGate: true, eps: 1e-2 }),
  }),
  silu: (n) => ({ inputs: [tf.mul(random(3, n), 8)], f: (x) => silu(x) }),
  swiglu: (n) => ({ inputs: [random(n, 3), random(n, 3)], f: (g, u) => swiglu(g, u) }),
  'splitSwiglu value-gate': (n) => ({ inputs: [random(2, 3, 2 * n)], f: (x) => splitSwiglu(x, { order: 'value-gate' }) }),
  'splitSwiglu gate-value': (n) => ({ inputs: [random(3, 2 * n)], f: (x) => splitSwiglu(x, { order: 'gate-value' }) }),
  crossEntropy: (n) => {
    const labels = integers([5], (i) => (i === 2 ? -100 : (i * 13) % n));
    return { inputs: [tf.mul(random(5, n), 9)], f: (x) => crossEntropy(x, labels, { zLoss: 1e-2 }) };
  },
  'crossEntropy per row': (n) => {
    const labels = integers([n], (i) => (i % 3 === 1 ? 7 : i % 6));
    return { inputs: [random(n, 6)], f: (x) => crossEntropy(x, labels, { reduction: 'none', ignoreIndex: 7 }) };
  },
  linearCrossEntropy: (n) => {
    const labels = integers([n], (i) => (i % 4 === 3 ? -100 : i % 33));
    return { inputs: [random(n, 20), random(33, 20)], f: (h, w) => linearCrossEntropy(h, w, labels, { zLoss: 1e-3 }) };
  },
  'linearCrossEntropy per row': (n) => {
    const labels = integers([5], (i) => i % n);
    return { inputs: [random(5, 3), random(n, 3)], f: (h, w) => linearCrossEntropy(h, w, labels, { reduction: 'none' }) };
  },
  scan: (n) => ({ inputs: [random(2, n, 3), random(2, n), random(2, 3)], f: (b, a, h) => Object.values(scan(b, a, { initialState: h })) }),
  'scan over several blocks': (n) => ({ inputs: [random(1, 4 * n, 2), random(1, 4 * n)], f: (b, a) => Object.values(scan(b, a)) }),
  'scan reversed, documents and lengths': (n) => {
    const documentIds = integers([3, n], (i) => Math.floor((i % n) / 5));
    const lengths = integers([3], (i) => [0, n, Math.ceil(n / 2)][i]);
    return {
      inputs: [random(3, n, 5), random(3, n), random(3, 5)],
      f: (b, a, h) => Object.values(scan(b, a, { initialState: h, documentIds, lengths, reverse: true })),
    };
  },
  'scan per channel, documents and lengths': (n) => {
    const documentIds = integers([2, n], (i) => Math.floor((i % n) / 7));
    const lengths = integers([2], (i) => [n, Math.floor(n / 2)][i]);
    return { inputs: [random(2, n, 5), random(2, n, 5), random(2, 5)], f: (b, a, h) => Object.values(scan(b, a, { initialState: h, documentIds, lengths })) };
  },
  'scan per channel, reversed': (n) => ({ inputs: [random(2, 6, n), random(2, 6, n)], f: (b, a) => Object.values(scan(b, a, { reverse: true })) }),
};
for (const mode of ['max', 'mean', 'sum', 'min', 'first', 'last'] as PoolMode[]) {
  cases[`segmentPool ${mode}`] = (n) => {
    const ids = integers([2, n], (i) => Math.floor((i % n) / 4) - (i < n ? 0 : 1));
    // Values on a coarse grid: ties.
    return { inputs: [tf.round(tf.mul(random(2, n, 5), 2))], f: (x) => segmentPool(x, ids, 12, mode) };
  };
}

const outputsAndGradients = (policy: KernelPolicy, { inputs, f }: Case): tf.Tensor[] => {
  setKernelPolicy(policy);
  return tf.tidy(() => {
    const outputs = [f(...inputs)].flat();
    const weights = outputs.map((y, k) => tf.randomUniform(y.shape, -1, 1, 'float32', 99 + k));
    const loss = (...xs: tf.Tensor[]) => tf.addN([f(...xs)].flat().map((y, k) => tf.sum(tf.mul(y, weights[k])))) as tf.Scalar;
    return [...outputs, ...tf.grads(loss)(inputs)];
  });
};

describe.each(backendsForTest())('implementations agree on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(() => setKernelPolicy('auto'));
  // Naive forms read synchronously, which Dawn in Node cannot; lengths of several blocks there, since its kernels work in blocks.
  const sizes = backend === 'webgpu' ? [1, 63, 64, 65, 1000] : [1, 63, 64, 65];
  const others: KernelPolicy[] = backend === 'webgpu' ? ['portable'] : ['portable', 'naive'];
  it.each(Object.keys(cases))('%s', async (name) => {
    for (const n of sizes) {
      tf.engine().startScope();
      const one = cases[name](n);
      one.inputs.forEach((x) => tf.keep(x));
      tf.engine().endScope();
      await expectNoLeak(async () => {
        const kernels = outputsAndGradients('auto', one);
        for (const policy of others) {
          const reference = outputsAndGradients(policy, one);
          for (const [i, expected] of reference.entries()) {
            const scale = Float32Array.from(await expected.data()).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
            await expectClose(kernels[i], expected, { atol: 1e-6 + 1e-5 * scale, rtol: 1e-5, name: `${name}, size ${n}, ${policy}, tensor ${i}` });
          }
          tf.dispose(reference);
        }
        tf.dispose(kernels);
      });
      tf.dispose([...one.inputs, ...kept.splice(0)]);
    }
  });
});
