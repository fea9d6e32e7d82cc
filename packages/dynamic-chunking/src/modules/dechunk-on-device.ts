import { ownState, type DeviceUpsamplerInput, type OnDevice } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { EMA_CLAMP } from '../ops/ema-scan.js';
import type { DeChunkLayer, DeChunkState } from './dechunk-layer.js';

/** Steps of the upsampler on the device: the average moves on where a chunk begins, and every byte sees it. */
export function dechunkOnDevice(layer: DeChunkLayer): OnDevice<DeviceUpsamplerInput, tf.Tensor2D, DeChunkState, DeChunkState> {
  return {
    canStep: () => true,
    begin: ownState,
    extend: (state) => state,
    step({ main, encoded, decision: { boundary, prob } }, { value }, { fresh }) {
      const residual = layer.residualProj.forward(encoded);
      const [, y] = runWgsl(tf.backend(), {
        key: `dechunk step ${layer.dModel}`,
        // What stands in rows of `main` without a boundary is nobody's business, not even where it is not a number.
        inputs: { chunk: layer.mainProj?.forward(main) ?? main, residual, boundary, prob, fresh },
        outputs: { value, y: { shape: residual.shape } },
        threads: residual.size,
        main: (has) => `
  let row = i / ${layer.dModel}u;
  var seen = ${has('fresh') ? 'select(value[i], 0.0, fresh[row] != 0 && boundary[row] != 0)' : 'value[i]'};
  if (boundary[row] != 0) {
    ${has('prob') ? `seen += clamp(prob[row], ${EMA_CLAMP}, ${1 - EMA_CLAMP}) * (chunk[i] - seen);` : 'seen = chunk[i];'}
    value[i] = seen;
  }
  y[i] = seen + residual[i];`,
      });
      return tf.engine().makeTensorFromTensorInfo(y!) as tf.Tensor2D;
    },
  };
}
