import { ownState, type DeviceUpsamplerInput, type OnDevice } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import * as tf from '@tensorflow/tfjs-core';
import type { PatchUnpool, PatchUnpoolState } from './patch-unpool.js';

/** Steps of the unpooling on the device. */
export function unpoolOnDevice(unpool: PatchUnpool): OnDevice<DeviceUpsamplerInput, tf.Tensor2D, PatchUnpoolState, PatchUnpoolState> {
  return {
    canStep: () => true,
    begin: ownState,
    extend: (state) => state,
    step({ main, encoded, decision: { boundary } }, { latest }) {
      const own = unpool.projection.forward(encoded);
      const [, y] = runWgsl(tf.backend(), {
        key: 'latest patch',
        // Rows of `ended` without a boundary may hold anything.
        inputs: { own, ended: unpool.norm.forward(main), boundary },
        outputs: { latest, y: { shape: own.shape } },
        u32: { width: unpool.dModel },
        threads: own.size,
        main: () => `
  if (boundary[i / u.width] != 0) { latest[i] = ended[i]; }
  y[i] = own[i] + latest[i];`,
      });
      return tf.engine().makeTensorFromTensorInfo(y!) as tf.Tensor2D;
    },
  };
}
