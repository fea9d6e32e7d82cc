import type { Rng } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';

/** Uniform within 1/sqrt(fan), PyTorch's default for linear layers and their biases; zeros without an rng. */
export function initialUniform(rng: Rng | undefined, shape: number[], fan: number): tf.Tensor {
  return rng ? rng.uniform(shape, -1 / Math.sqrt(fan), 1 / Math.sqrt(fan)) : tf.zeros(shape);
}

/** Values from `low` to `high`, evenly over the heads. */
export function spread([low, high]: readonly [number, number], heads: number): tf.Tensor1D {
  return tf.tensor1d(Float32Array.from({ length: heads }, (_, h) => (heads === 1 ? low : low + ((high - low) * h) / (heads - 1))));
}
