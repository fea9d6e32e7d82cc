import { checkShape, silu } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { stepSizes } from '../kernels/ssd/attrs.js';
import { skipFactor } from '../kernels/ssd/portable.js';
import { checkSsd, stepSizeAttrs, type SsdParameters } from './ssd.js';

/**
 * One position of `ssd` on top of a state; not differentiable (`ssd` with L = 1 is).
 *
 * @param x (B, H, P). The options are those of `ssd` without the time axis: `dt` (B, H), `B`, `C` (B, G, N), `z` (B, H, P).
 * @param options.state (B, H, P, N); stays as it is.
 * @returns `y` (B, H, P) and the next `state`.
 * @throws ShapeError
 */
export function ssdStep(x: tf.Tensor, options: SsdParameters & { state: tf.Tensor }): { y: tf.Tensor3D; state: tf.Tensor4D } {
  const dims = checkSsd('ssdStep', x, options, '(B, H, P)');
  checkShape('ssdStep', options.state, 'state', '(B, H, P, N)', dims);
  const attrs = { ...stepSizeAttrs('ssdStep', options), chunkSize: 1, returnFinalState: true };
  const [batch, heads, groups, state] = [dims.B!, dims.H!, dims.G!, dims.N!];
  const perHead = (t: tf.Tensor) =>
    tf.reshape(tf.tile(tf.expandDims(t, 2), [1, 1, heads / groups, 1]), [batch, heads, 1, state]);
  return tf.tidy(() => {
    const delta = stepSizes(options.dt, options.dtBias, undefined, attrs);
    const decay = tf.reshape(tf.exp(tf.mul(delta, options.A)), [batch, heads, 1, 1]);
    const u = tf.expandDims(tf.mul(x, tf.expandDims(delta, 2)), 3);
    const next = tf.add(tf.mul(options.state, decay), tf.mul(u, perHead(options.B)));
    let y: tf.Tensor = tf.sum(tf.mul(next, perHead(options.C)), 3);
    if (options.D) y = tf.add(y, tf.mul(x, skipFactor(options.D)));
    if (options.z) y = tf.mul(y, silu(options.z));
    return { y: y as tf.Tensor3D, state: next as tf.Tensor4D };
  });
}
