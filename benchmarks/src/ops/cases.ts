// Shapes are those of the hnet-1stage-8M configuration on 8 rows of 512 bytes, or of one decoding step.
import * as tf from '@tensorflow/tfjs-core';
import { crossEntropy, embedding, linear, matMul, rmsNorm, scan, segmentPool } from '@bytelm/core';
import { attention } from '@bytelm/latent-transformer';
import { causalConv1d, ssd } from '@bytelm/mamba2';
import { mlstm } from '@bytelm/mlstm';
import { hashEmbedding, hashNgramIds } from '@bytelm/patching';
import { mlstmStock } from './mlstm-stock.js';

export interface OpCase {
  name: string;
  /** Of one forward run. */
  flops: number;
  /** Each operand once, forward. */
  bytes: number;
  /** Differentiable inputs, and how the op runs on them. Made on the active backend. */
  make: () => Made;
  /** The op has no gradient. */
  forwardOnly?: boolean;
}

export interface Made {
  inputs: tf.Tensor[];
  run: (...inputs: tf.Tensor[]) => tf.Tensor;
  /** The same out of tfjs' own ops, as one would write it without this library. */
  stock?: (...inputs: tf.Tensor[]) => tf.Tensor;
}

const random = (shape: number[], seed: number, low = -1, high = 1) => tf.randomUniform(shape, low, high, 'float32', seed);
const ids = (shape: number[], below: number) => tf.tensor(Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i * 7919) % below), shape, 'int32');

const [B, L, D] = [8, 512, 192];
const rows = B * L;

/** y = x Wᵀ as layers use it. */
const linearCase = (name: string, K: number, N: number, n = rows): OpCase => ({
  name,
  flops: 2 * n * K * N,
  bytes: 4 * (n * K + K * N + n * N),
  make: () => ({ inputs: [random([n, K], 1), random([N, K], 2)], run: (x, w) => linear(x!, w!) }),
});

const matMulCase = (name: string, a: number[], b: number[], flops: number, options: { transposeA?: boolean; transposeB?: boolean }): OpCase => ({
  name,
  flops,
  bytes: 4 * (a.reduce((x, y) => x * y, 1) + b.reduce((x, y) => x * y, 1)),
  make: () => ({ inputs: [random(a, 1), random(b, 2)], run: (x, y) => matMul(x!, y!, options) }),
});

const attentionCase = (name: string, T: number, heads: number, P: number, windowLeft?: number): OpCase => ({
  name,
  flops: 2 * B * heads * P * T * (windowLeft === undefined ? T : 2 * windowLeft),
  bytes: 16 * B * T * heads * P,
  make: () => ({
    inputs: [1, 2, 3].map((s) => random([B, T, heads, P], s)),
    run: (q, k, v) => attention(q as tf.Tensor4D, { k: k as tf.Tensor4D, v: v as tf.Tensor4D, mask: { causal: true, windowLeft } }).y,
  }),
});

const HASH = { sizes: [3, 4, 5, 6, 7, 8], vocabularySize: 10007 };

/** Byte embedding and six tables of 10007 x 192; the step is one position of each row. */
const hashEmbeddingCase = (name: string, length: number): OpCase => ({
  name,
  flops: 6 * B * length * D,
  bytes: 4 * 8 * B * length * D,
  make: () => {
    const at = ids([B, length], 260);
    const buckets = hashNgramIds(at as tf.Tensor2D, HASH);
    const rowsOf = tf.split(buckets, HASH.sizes.length).map((b) => tf.reshape(b, [B, length]));
    return {
      inputs: [random([260, D], 1), ...HASH.sizes.map((n) => random([HASH.vocabularySize, D], n))],
      run: (bytes, ...tables) => hashEmbedding(at, buckets, { bytes: bytes!, tables }),
      stock: (bytes, ...tables) => tf.addN([tf.gather(bytes!, at), ...tables.map((t, i) => tf.gather(t, rowsOf[i]!))]),
    };
  },
});

export const OP_CASES: readonly OpCase[] = [
  matMulCase('matMul NN 512³', [512, 512], [512, 512], 2 * 512 ** 3, {}),
  matMulCase('matMul NT 512³', [512, 512], [512, 512], 2 * 512 ** 3, { transposeB: true }),
  matMulCase('matMul TN 512³', [512, 512], [512, 512], 2 * 512 ** 3, { transposeA: true }),
  matMulCase('matMul batch 24 of 512x64x512', [24, 512, 64], [24, 512, 64], 24 * 2 * 512 * 64 * 512, { transposeB: true }),
  linearCase('linear 4096 x 192 -> 1030', D, 1030),
  linearCase('linear 1 x 320 -> 1792 (a step)', 320, 1792, 1),
  {
    name: 'ssd 8 x 512, 6 heads of 64, state 128',
    flops: rows * (64 * 128 + 64 * 384 + 4 * 384 * 128 + (2 * 384 * 128) / 64),
    bytes: 4 * rows * (2 * 384 + 2 * 128 + 6),
    make: () => {
      const A = tf.neg(tf.exp(random([6], 9)));
      return {
        inputs: [random([B, L, 6, 64], 1), random([B, L, 6], 2), random([B, L, 1, 128], 3), random([B, L, 1, 128], 4)],
        run: (x, dt, Bm, C) => ssd(x!, { dt: dt!, A, B: Bm!, C: C!, dtSoftplus: true }).y,
      };
    },
  },
  {
    name: 'mlstm 8 x 512, 4 heads of 24 and 48',
    // Pairs within chunks of 64 (scores and values), and each position with the state (in, out).
    flops: rows * 4 * (2 * 64 * (24 + 48) + 4 * 24 * 48),
    bytes: 4 * rows * 4 * (2 * 24 + 2 * 48 + 2),
    make: () => ({
      inputs: [random([B, L, 4, 24], 1), random([B, L, 4, 24], 2), random([B, L, 4, 48], 3), random([B, L, 4], 4, -3, 3), random([B, L, 4], 5, -3, 3)],
      run: (q, k, v, inputGate, forgetGate) => mlstm(q!, { k: k!, v: v!, inputGate: inputGate!, forgetGate: forgetGate! }).h,
      stock: (q, k, v, inputGate, forgetGate) => mlstmStock(q!, k!, v!, inputGate!, forgetGate!),
    }),
  },
  {
    name: 'causalConv1d 8 x 512 x 640, width 4, silu',
    flops: rows * 640 * 8,
    bytes: 8 * rows * 640,
    make: () => ({
      inputs: [random([B, L, 640], 1), random([640, 4], 2), random([640], 3)],
      run: (x, weight, bias) => causalConv1d(x!, { weight: weight!, bias, activation: 'silu', returnLastState: false }).y,
    }),
  },
  attentionCase('attention 8 x 114, 5 heads of 64', 114, 5, 64),
  attentionCase('attention 8 x 512, 4 heads of 64', L, 4, 64),
  attentionCase('attention 8 x 512, 4 heads of 64, window 64', L, 4, 64, 63),
  {
    name: 'rmsNorm 4096 x 192',
    flops: 4 * rows * D,
    bytes: 8 * rows * D,
    make: () => ({ inputs: [random([rows, D], 1), random([D], 2)], run: (x, w) => rmsNorm(x!, w!) }),
  },
  {
    name: 'crossEntropy 4096 x 256',
    flops: 4 * rows * 256,
    bytes: 4 * rows * 256,
    make: () => {
      const labels = ids([rows], 256);
      return { inputs: [random([rows, 256], 1)], run: (x) => crossEntropy(x!, labels) };
    },
  },
  {
    name: 'embedding 4096 of 256 x 192',
    flops: 0,
    bytes: 8 * rows * D,
    make: () => {
      const at = ids([B, L], 256);
      return { inputs: [random([256, D], 1)], run: (table) => embedding(table!, at) };
    },
  },
  {
    name: 'hash n-grams 8 x 512, sizes 3 to 8',
    flops: 0,
    bytes: 4 * rows * 7,
    forwardOnly: true,
    make: () => {
      const at = ids([B, L], 260) as tf.Tensor2D;
      return { inputs: [], run: () => hashNgramIds(at, HASH) };
    },
  },
  hashEmbeddingCase('hash embedding 4096 x 192, 6 tables of 10007', L),
  hashEmbeddingCase('hash embedding 8 x 192, 6 tables of 10007 (a step)', 1),
  {
    name: 'scan 8 x 512 x 320',
    flops: 2 * rows * 320,
    bytes: 8 * rows * 320,
    make: () => ({ inputs: [random([B, L, 320], 1), random([B, L], 2, 0, 1)], run: (b, a) => scan(b!, a!).y }),
  },
  {
    name: 'segmentPool max 8 x 512 x 320 -> 114',
    flops: rows * 320,
    bytes: 4 * rows * 320,
    make: () => {
      const at = tf.tensor2d(Int32Array.from({ length: rows }, (_, i) => Math.floor((i % L) / 4.5)), [B, L], 'int32');
      return { inputs: [random([B, L, 320], 1)], run: (x) => segmentPool(x!, at, 114, 'max') };
    },
  },
];
