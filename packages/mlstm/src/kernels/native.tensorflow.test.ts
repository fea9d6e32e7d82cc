import { setKernelPolicy, type Op, type OpInputs } from '@bytelm/core';
import { expectNativeAgrees, hasNativeOps, integerTensor, randomTensors } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, it } from 'vitest';
import { cellGradOp, cellOp } from './cell/op.js';
import { headNormGradOp, headNormOp } from './head-norm/op.js';

const hasNative = await hasNativeOps();
const random = randomTensors(100);
const agree = <N extends string, A extends object>(op: Op<N, A>, inputs: OpInputs<N>, attrs: A) => expectNativeAgrees(op, inputs, attrs, 5e-5);

describe.skipIf(!hasNative)('native and portable forms agree', () => {
  afterEach(() => setKernelPolicy('auto'));

  // batch, length, heads, key width, value width, chunk
  const cells = { 'one step': [1, 1, 1, 1, 1, 64], 'odd': [2, 67, 3, 5, 7, 16], 'published sizes': [1, 130, 2, 64, 128, 64], 'many heads': [1, 65, 12, 8, 16, 64], 'batch': [9, 33, 2, 16, 8, 8] };
  it.each(Object.entries(cells))('cell, %s', async (_, [batch, length, heads, keyDim, valueDim, chunkSize]) => {
    const [B, L, H, K, V] = [batch!, length!, heads!, keyDim!, valueDim!];
    const base = { q: random(B, L, H, K), k: random(B, L, H, K), v: random(B, L, H, V), inputGate: tf.mul(random(B, L, H), 4), forgetGate: tf.mul(random(B, L, H), 4) };
    const dh = random(B, L, H, V);
    const all = {
      ...base,
      C: random(B, H, K, V),
      n: random(B, H, K),
      m: random(B, H),
      documentIds: integerTensor([B, L], (i) => Math.floor((i % L) / 13)),
      lengths: integerTensor([B], (b) => Math.max(1, L - 3 * b)),
    };
    const plain = { chunkSize: chunkSize!, recurrent: false, eps: 1e-3, publishedGradient: false, returnFinalState: false };
    const full = { ...plain, returnFinalState: true };
    await agree(cellOp, base, plain);
    await agree(cellOp, all, full);
    for (const publishedGradient of [false, true]) {
      const [h] = cellOp(base, plain);
      await agree(cellGradOp, { ...base, h, dh }, { ...plain, publishedGradient });
      const [hAll] = cellOp(all, plain);
      await agree(cellGradOp, { ...all, h: hAll, dh, dC: random(B, H, K, V), dn: random(B, H, K), dm: random(B, H) }, { ...full, publishedGradient });
    }
  });

  const norms = { 'one': [1, 1, 1], 'odd': [3, 3, 7], 'rows': [300, 4, 17], 'wide': [5, 2, 130] };
  it.each(Object.entries(norms))('head norm, %s', async (_, [rows, heads, size]) => {
    const inputs = { h: random(rows!, heads!, size!), gate: random(rows!, heads! * size!), weight: random(heads! * size!) };
    await agree(headNormOp, inputs, { eps: 1e-6 });
    await agree(headNormGradOp, { ...inputs, dy: random(rows!, heads! * size!) }, { eps: 1e-3 });
  });
});
