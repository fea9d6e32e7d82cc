import { ConfigError, type DeviceDecision, type OnDevice } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import * as tf from '@tensorflow/tfjs-core';
import type { BoundaryPredictorState } from './boundary-predictor.js';

/** (B) int32, 1 once the row has seen a byte. */
interface DeviceSeen {
  seen: tf.Tensor1D;
}

/** Steps on the device of a predictor that cannot look ahead while decoding: boundaries are those that came with the ids, and a document's first byte. */
export const emittedOnDevice: OnDevice<tf.Tensor2D, DeviceDecision, BoundaryPredictorState, DeviceSeen> = {
  canStep: () => true,
  begin: ({ seen }) => ({ seen: tf.tensor1d(Int32Array.from(seen), 'int32') }),
  extend: (state) => state,
  step(_hidden, { seen }, { ids, boundaryFrom, active, fresh }) {
    if (!ids || boundaryFrom === undefined) throw new ConfigError('[BoundaryPredictor] steps on the device: a look-ahead cannot be used while decoding. Hint: a head that emits boundaries.');
    const [, boundary] = runWgsl(tf.backend(), {
      key: 'emitted boundaries of rows',
      inputs: { ids, isActive: active, fresh },
      outputs: { seen, boundary: { shape: [seen.size], dtype: 'int32' } },
      u32: { boundaryFrom },
      threads: seen.size,
      main: (has) => `
  ${has('isActive') ? 'if (isActive[i] == 0) { boundary[i] = 0; return; }' : ''}
  let isFirst = seen[i] == 0${has('fresh') ? ' || fresh[i] != 0' : ''};
  boundary[i] = select(0, 1, isFirst || u32(ids[i]) >= u.boundaryFrom);
  seen[i] = 1;`,
    });
    return { boundary: tf.engine().makeTensorFromTensorInfo(boundary!) as tf.Tensor1D };
  },
};
