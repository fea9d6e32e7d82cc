import type { AddedPair, OnDevice, ResidualPair } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { canMultiplyPacked } from '../kernels/transformer-step/webgpu-packed.js';
import { blockStepWebGpu, canStepOnWebGpu } from '../kernels/transformer-step/webgpu.js';
import type { KvCacheState } from '../kv-cache.js';
import { beginCache, claimOnDevice, extendCache, reachOf, type DeviceCacheState } from '../kv-cache-on-device.js';
import type { TransformerBlock } from './transformer-block.js';

/** Steps of a block on the device: the fused kernels of `step`, at places that are worked out there. */
export function blockOnDevice(block: TransformerBlock): OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, KvCacheState, DeviceCacheState> {
  const { cache, rotary } = block.mixer;
  return {
    canStep: (batchSize) => canStepOnWebGpu(batchSize, block.mixer) && canMultiply(block, batchSize),
    begin: (state, room) => beginCache(cache, rotary, state, room),
    extend: (state, room) => extendCache(cache, rotary, state, room),
    step(pair, state, rows) {
      const table = claimOnDevice(cache, state, rows);
      return blockStepWebGpu(block.stepParts(pair, state, state.tables), { rows: table, reach: reachOf(cache, state), active: rows.active });
    },
  };
}

/** Matrices of one kind; bf16 ones only for a few rows, and without biases where they are gated. */
function canMultiply({ matrices, mixer, mlp, dModel }: TransformerBlock, batchSize: number): boolean {
  if (matrices !== 'packed') return matrices === 'plain';
  const widths = [dModel, mixer.numHeads * mixer.headDim, ...(mlp ? [mlp.dIntermediate] : [])];
  return canMultiplyPacked(batchSize, widths) && !mlp?.inputs.some((l) => l.bias);
}
