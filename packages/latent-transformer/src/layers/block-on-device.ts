import type { AddedPair, OnDevice, ResidualPair } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { blockStepWebGpu, canStepOnWebGpu } from '../kernels/transformer-step/webgpu.js';
import type { KvCacheState } from '../kv-cache.js';
import { beginCache, claimOnDevice, extendCache, reachOf, type DeviceCacheState } from '../kv-cache-on-device.js';
import type { TransformerBlock } from './transformer-block.js';

/** Steps of a block on the device: the fused kernels of `step`, at places that are worked out there. */
export function blockOnDevice(block: TransformerBlock): OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, KvCacheState, DeviceCacheState> {
  const { cache, rotary } = block.mixer;
  return {
    canStep: (batchSize) => block.matrices === 'plain' && canStepOnWebGpu(batchSize, block.mixer),
    begin: (state, room) => beginCache(cache, rotary, state, room),
    extend: (state, room) => extendCache(cache, rotary, state, room),
    step(pair, state, rows) {
      const table = claimOnDevice(cache, state, rows);
      return blockStepWebGpu(block.stepParts(pair, state, state.tables), { rows: table, reach: reachOf(cache, state), active: rows.active });
    },
  };
}
