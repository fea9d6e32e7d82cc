import { ownState, type AddedPair, type DeviceRows, type OnDevice, type ResidualPair } from '@bytelm/core';
import { clearRows } from '@bytelm/core/webgpu';
import type * as tf from '@tensorflow/tfjs-core';
import type { MLSTMState } from '../ops/mlstm.js';
import type { BlockParts, MLSTMLayer } from './mlstm-layer.js';

/** Steps of a layer on the device. The state is that of other steps, it has no positions. */
export function layerOnDevice(layer: MLSTMLayer): OnDevice<tf.Tensor2D, tf.Tensor2D, MLSTMState, MLSTMState> {
  return {
    canStep: () => true,
    begin: ownState,
    extend: (state) => state,
    step(hidden, state, rows) {
      forget(state, rows);
      return layer.stepBlock({ hidden }, state, undefined, undefined, rows.active).y;
    },
  };
}

/** Of a block around it, norms and MLP included. */
export function blockOnDevice(layer: MLSTMLayer, parts: BlockParts): OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, MLSTMState, MLSTMState> {
  return {
    ...layer.onDevice,
    step(pair, state, rows) {
      forget(state, rows);
      const { y, sum } = layer.stepBlock(pair, state, undefined, parts, rows.active);
      return { hidden: y, residual: sum! };
    },
  };
}

/** What came before a document is gone where one begins. */
function forget({ C, n, m }: MLSTMState, { fresh }: DeviceRows): void {
  if (fresh) clearRows([C, n, m], fresh);
}
