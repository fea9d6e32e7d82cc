import * as tf from '@tensorflow/tfjs-core';
import type { HasParameters } from '../module/module.js';
import { toTensor, type HostTensor } from './fixtures.js';

/** Assigns golden tensors to a module's parameters; every parameter must be there. */
export function fillParameters(module: HasParameters, values: ReadonlyMap<string, HostTensor>, prefix = ''): void {
  for (const [name, variable] of module.parameters()) {
    const value = values.get(prefix + name);
    if (!value) throw new Error(`no golden tensor ${prefix}${name}`);
    tf.tidy(() => variable.assign(toTensor(value) as never));
  }
}

/** Uniform numbers for tests, the same for the same seed. */
export const uniform = (shape: number[], seed: number, low = -1, high = 1): tf.Tensor => tf.randomUniform(shape, low, high, 'float32', seed);

/** Position i of (B, L, ...) as (B, ...). */
export const positionAt = <T extends tf.Tensor = tf.Tensor2D>(t: tf.Tensor, i: number): T => tf.squeeze(tf.slice(t, [0, i], [t.shape[0]!, 1]), [1]);
