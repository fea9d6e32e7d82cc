import { linear, ownState, type DeviceDecision, type OnDevice } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { SUM_OF_WORKGROUP } from '../kernels/wgsl.js';
import type { RoutingState } from './routing-module.js';

/** The router's memory on the device. */
export interface DeviceRoutingState {
  /** (B, D) as in other states. */
  last: tf.Tensor2D;
  /** (B) int32, 1 once the row has seen a byte. */
  seen: tf.Tensor1D;
}

/** Steps of the router on the device: two projections, and a kernel that compares, decides and remembers. */
export function routeOnDevice(wq: tf.Tensor2D, wk: tf.Tensor2D): OnDevice<tf.Tensor2D, DeviceDecision, RoutingState, DeviceRoutingState> {
  return {
    canStep: () => true,
    begin: ({ last, seen }) => ({ last: ownState(last), seen: tf.tensor1d(Int32Array.from(seen), 'int32') }),
    extend: (state) => state,
    step(hidden, { last, seen }, { active, fresh }) {
      const [batch, width] = hidden.shape;
      const made = runWgsl(tf.backend(), {
        key: `route ${width}`,
        inputs: { q: linear(last, wq), k: linear(hidden, wk), hidden, isActive: active, fresh },
        outputs: { last, seen, boundary: { shape: [batch], dtype: 'int32' }, prob: { shape: [batch] } },
        workgroups: batch,
        declare: () => SUM_OF_WORKGROUP,
        main: (has) => `
  ${has('isActive') ? 'if (isActive[g] == 0) { if (local == 0u) { boundary[g] = 0; } return; }' : ''}
  var own = vec4f(0.0);
  for (var d = local; d < ${width}u; d += 64u) {
    let at = g * ${width}u + d;
    own += vec4f(q[at] * q[at], k[at] * k[at], q[at] * k[at], 0.0);
    last[at] = hidden[at];
  }
  let sums = sumOfWorkgroup(local, own);
  if (local == 0u) {
    let differs = clamp(0.5 - 0.5 * (sums.z / max(sqrt(sums.x), 1e-12) / max(sqrt(sums.y), 1e-12)), 0.0, 1.0);
    let isFirst = seen[g] == 0${has('fresh') ? ' || fresh[g] != 0' : ''};
    let p = select(differs, 1.0, isFirst);
    seen[g] = 1;
    prob[g] = p;
    boundary[g] = select(0, 1, p > 0.5);
  }`,
      });
      const [boundary, prob] = made.slice(2).map((t) => tf.engine().makeTensorFromTensorInfo(t)) as [tf.Tensor1D, tf.Tensor1D];
      return { boundary, prob };
    },
  };
}
