import { ownState, type AddedPair, type DeviceRows, type OnDevice, type ResidualPair } from '@bytelm/core';
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

/** Of a block around it: the norm in front belongs to the mixer's kernels, `second` is what follows. */
export function blockOnDevice(
  mixer: Mamba2,
  norm: tf.Tensor,
  second: (pair: AddedPair<tf.Tensor2D>) => AddedPair<tf.Tensor2D>,
): OnDevice<ResidualPair<tf.Tensor2D>, AddedPair<tf.Tensor2D>, Mamba2State, Mamba2State> {
  return {
    ...mixer.onDevice,
    step(pair, state, rows) {
      forget(state, rows);
      const { y, sum } = mixer.stepBlock({ ...pair, norm }, state, undefined, rows.active);
      return second({ hidden: y, residual: sum! });
    },
  };
}

/** What came before a document is gone where one begins. */
function forget({ conv, ssm }: Mamba2State, { fresh }: DeviceRows): void {
  if (fresh) clearRows([conv, ssm], fresh);
}
