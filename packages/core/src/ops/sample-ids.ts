import type * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { checkSamplingOptions, type SamplingOptions } from '../generate/sampling.js';
import { sampleOp } from '../kernels/sampling/op.js';

/**
 * Draws an id from each row of logits without reading them back: `temperature`, then `topK`, then `topP` on what is left, then the first id,
 * from the most likely down, whose cumulative probability exceeds the row's draw. The same draw gives the same id.
 *
 * @param logits (B, V) float32. @param draws (B) float32 in [0, 1); with `temperature: 0` any.
 * @returns (B) int32. Not differentiable.
 * @throws ShapeError, ConfigError
 * @example
 * const ids = sampleIds(logits, tf.tensor1d([rng.next()]), { temperature: 0.8, topP: 0.95 });
 */
export function sampleIds(logits: tf.Tensor, draws: tf.Tensor, options: SamplingOptions = {}): tf.Tensor1D {
  checkSamplingOptions(options);
  const dims: Dims = {};
  checkShape('sampleIds', logits, 'logits', '(B, V)', dims, 'float32');
  checkShape('sampleIds', draws, 'draws', '(B)', dims, 'float32');
  const { temperature = 1, topK = 0, topP = 1 } = options;
  return sampleOp({ logits, draws }, { temperature, topK, topP })[0] as tf.Tensor1D;
}
