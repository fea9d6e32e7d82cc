import type { Rng } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import type { ResolvedMamba2Config } from '../config.js';

/** `scale` times (rows, columns) normal with deviation `std`, or uniform within 1/sqrt(columns); zeros without an rng. */
export function initialLinear(rng: Rng | undefined, rows: number, columns: number, std?: number, scale = 1): tf.Tensor {
  if (!rng) return tf.zeros([rows, columns]);
  const bound = scale / Math.sqrt(columns);
  return std === undefined ? rng.uniform([rows, columns], -bound, bound) : rng.normal([rows, columns], scale * std);
}

/** Uniform within 1/sqrt(fan), PyTorch's default for biases and convolutions. */
export function initialUniform(rng: Rng | undefined, shape: number[], fan: number): tf.Tensor {
  return rng ? rng.uniform(shape, -1 / Math.sqrt(fan), 1 / Math.sqrt(fan)) : tf.zeros(shape);
}

/** Bias whose softplus is log-uniform in `dtInitRange`: the inverse softplus t + ln(-expm1(-t)). */
export function initialDtBias(rng: Rng | undefined, { numHeads, dtInitRange: [low, high], dtInitFloor }: ResolvedMamba2Config): tf.Tensor {
  const values = Float32Array.from({ length: numHeads }, () => {
    if (!rng) return 0;
    const t = Math.max(Math.exp(rng.next() * (Math.log(high) - Math.log(low)) + Math.log(low)), dtInitFloor);
    return t + Math.log(-Math.expm1(-t));
  });
  return tf.tensor1d(values);
}

export function initialALog(rng: Rng | undefined, { numHeads, aInitRange: [low, high] }: ResolvedMamba2Config): tf.Tensor {
  return tf.tensor1d(Float32Array.from({ length: numHeads }, () => (rng ? Math.log(low + (high - low) * rng.next()) : 0)));
}
