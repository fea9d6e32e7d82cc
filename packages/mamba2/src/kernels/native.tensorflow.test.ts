import { setKernelPolicy } from '@bytelm/core';
import { expectNativeAgrees, hasNativeOps, integerTensor, randomTensors } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, it } from 'vitest';
import { convGradOp, convOp } from './conv1d/op.js';
import { ssdGradOp, ssdOp } from './ssd/op.js';

const hasNative = await hasNativeOps();
const random = randomTensors(100);

describe.skipIf(!hasNative)('native and portable forms agree', () => {
  afterEach(() => setKernelPolicy('auto'));

  const convs = { 'one step': [1, 1, 3, 4], 'odd': [2, 65, 17, 4], 'blocks': [3, 130, 260, 4], 'width 2': [2, 67, 33, 2], 'width 5': [1, 3, 40, 5], 'width 1': [2, 9, 16, 1] };
  it.each(Object.entries(convs))('causal convolution, %s', async (_, [batch, length, channels, width]) => {
    const base = { x: random(batch!, length!, channels!), weight: random(channels!, width!) };
    const dy = random(batch!, length!, channels!);
    for (const silu of [false, true]) await expectNativeAgrees(convGradOp, { ...base, dy }, { silu, returnState: false });
    const all = {
      ...base,
      bias: random(channels!),
      ...(width! > 1 ? { initialState: random(batch!, width! - 1, channels!) } : {}),
      documentIds: integerTensor([batch!, length!], (i) => Math.floor((i % length!) / 5)),
      lengths: integerTensor([batch!], (b) => Math.max(0, length! - 2 * b)),
    };
    const returnState = width! > 1;
    await expectNativeAgrees(convOp, all, { silu: true, returnState });
    await expectNativeAgrees(convGradOp, { ...all, dy, ...(returnState ? { dState: random(batch!, width! - 1, channels!) } : {}) }, { silu: true, returnState });
  });

  // batch, length, heads, head width, groups, state width, chunk
  const scans = { 'one step': [1, 1, 1, 1, 1, 1, 64], 'odd': [2, 67, 3, 5, 1, 7, 16], 'groups': [1, 130, 4, 16, 2, 33, 64], 'many heads': [1, 65, 12, 32, 1, 64, 64], 'batch': [9, 33, 2, 8, 1, 16, 8] };
  it.each(Object.entries(scans))('scan, %s', async (_, [batch, length, heads, headDim, groups, state, chunkSize]) => {
    const [B, L, H, P, G, N] = [batch!, length!, heads!, headDim!, groups!, state!];
    const base = { x: random(B, L, H, P), dt: random(B, L, H), A: tf.neg(tf.abs(random(H))), B: random(B, L, G, N), C: random(B, L, G, N), dtBias: random(H) };
    const dy = random(B, L, H, P);
    const plain = { dtSoftplus: true, dtMin: 0, dtMax: Infinity, chunkSize: chunkSize!, returnFinalState: false };
    await expectNativeAgrees(ssdOp, base, plain);
    await expectNativeAgrees(ssdGradOp, { ...base, dy }, plain);
    const all = {
      ...base,
      D: random(H, P),
      initialState: random(B, H, P, N),
      documentIds: integerTensor([B, L], (i) => Math.floor((i % L) / 13)),
      lengths: integerTensor([B], (b) => Math.max(1, L - 3 * b)),
    };
    const limited = { ...plain, dtMin: 0.3, dtMax: 0.9, returnFinalState: true };
    await expectNativeAgrees(ssdOp, all, limited);
    await expectNativeAgrees(ssdGradOp, { ...all, dy, dState: random(B, H, P, N) }, limited);
    await expectNativeAgrees(ssdGradOp, { ...base, D: random(H), dy }, { ...plain, dtSoftplus: false, dtMax: 0.5 });
  });
});
