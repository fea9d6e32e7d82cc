import * as tf from '@tensorflow/tfjs-core';
import { sumSquares } from '../kernels/adamw/op.js';

/** √(Σ|g|²) over all tensors, as a scalar on the device. A tensor that appears under several names counts once. */
export function globalNorm(grads: ReadonlyMap<string, tf.Tensor>): tf.Scalar {
  return tf.tidy(() => {
    let sum: tf.Tensor | undefined;
    for (const x of new Set(grads.values())) [sum] = sumSquares({ x, sum }, {});
    return tf.sqrt(sum ?? tf.scalar(0)) as tf.Scalar;
  });
}

/** min(1, maxNorm / (norm + 1e-6)): what each gradient is multiplied with. Stays on the device. */
export function clipScale(norm: tf.Scalar, maxNorm: number): tf.Scalar {
  return tf.tidy(() => tf.minimum(tf.scalar(1), tf.div(tf.scalar(maxNorm), tf.add(norm, tf.scalar(1e-6)))) as tf.Scalar);
}

/**
 * Scales gradients so that their global norm is at most `maxNorm`. Nothing is read back. (`AdamW.apply` takes the scale itself, which
 * saves a pass: `apply(grads, { lr, scale: clipScale(globalNorm(grads), 1) })`.)
 *
 * @returns new tensors under the same names, and the norm before clipping. The caller owns them.
 * @source equals torch.nn.utils.clip_grad_norm_.
 */
export function clipGradNorm(grads: ReadonlyMap<string, tf.Tensor>, maxNorm: number): { grads: Map<string, tf.Tensor>; norm: tf.Scalar } {
  const norm = globalNorm(grads);
  const scale = clipScale(norm, maxNorm);
  const clipped = new Map([...new Set(grads.values())].map((g) => [g, tf.mul(g, scale)]));
  scale.dispose();
  return { grads: new Map([...grads].map(([name, g]) => [name, clipped.get(g)!])), norm };
}
