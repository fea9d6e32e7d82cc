import * as tf from '@tensorflow/tfjs-core';
import { checkShape, stopGradient } from '@bytelm/core';
import { distributionDivergenceOp } from '../kernels/distribution-divergence.js';
import { reduceLosses, type ReduceOptions } from './reduce.js';

/**
 * Learns the teacher's whole distribution over (next byte, does a patch end there) at every byte, in place of the likelihood of what happened to
 * come: KL divergence in nats, without the noise of sampled labels. Its gradient is what the cross-entropy's is on average over texts that the
 * teacher would write, so that it has the same minimum; a small number of bytes goes much further.
 *
 * @param logits (B, L, V) of the student. @param options.targets (B, L, V), rows of `TeacherBytes.targets`; no gradient flows to them.
 * @param options.mask (B, L), 1 where a row is a distribution.
 * @returns 0 with zero gradient exactly where both agree.
 * @throws ShapeError
 */
export function byteDistillLoss(logits: tf.Tensor, { targets, ...options }: ReduceOptions & { targets: tf.Tensor }): tf.Tensor {
  const dims = checkShape('byteDistillLoss', logits, 'logits', '(B, L, V)', {}, 'float32');
  checkShape('byteDistillLoss', targets, 'targets', '(B, L, V)', dims, 'float32');
  if (options.mask) checkShape('byteDistillLoss', options.mask, 'mask', '(B, L)', dims, 'float32');
  const [B, L, V] = [dims.B!, dims.L!, dims.V!];
  return tf.tidy(() => {
    const rows = (x: tf.Tensor) => tf.reshape(x, [B * L, V]);
    return reduceLosses(tf.reshape(distributionDivergenceOp({ logits: rows(logits), targets: rows(stopGradient(targets)) }, {})[0]!, [B, L]), options);
  });
}
