import { ownState, type DeviceRows, type OnDevice } from '@bytelm/core';
import { clearRows } from '@bytelm/core/webgpu';
import type * as tf from '@tensorflow/tfjs-core';
import type { Mamba2, Mamba2State } from './mamba2.js';

/** Steps of a mixer on the device. The state is that of other steps, it has no positions. */
export function mixerOnDevice(mixer: Mamba2): OnDevice<tf.Tensor2D, tf.Tensor2D, Mamba2State, Mamba2State> {
  return {
    canStep: () => mixer.config.convWidth > 1,
    begin: ownState,
    extend: (state) => state,
    step(hidden, state, rows) {
      forget(state, rows);
      return mixer.stepBlock({ hidden }, state, undefined, rows.active).y;
    },
  };
}

/** What came before a document is gone where one begins. */
export function forget({ conv, ssm }: Mamba2State, { fresh }: DeviceRows): void {
  if (fresh) clearRows([conv, ssm], fresh);
}
