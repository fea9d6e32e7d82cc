import { toTensor, type HostTensor } from '@bytelm/core/testing';
import type { HasParameters } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';

/** Assigns golden tensors to a module's parameters; every parameter must be there. */
export function fill(module: HasParameters, values: Map<string, HostTensor>, prefix: string): void {
  for (const [name, variable] of module.parameters()) {
    const value = values.get(prefix + name);
    if (!value) throw new Error(`no golden tensor ${prefix}${name}`);
    tf.tidy(() => variable.assign(toTensor(value)));
  }
}

export const random = (shape: number[], seed: number, low = -1, high = 1): tf.Tensor => tf.randomUniform(shape, low, high, 'float32', seed);

/** Position i of (B, L, ...) as (B, ...). */
export const position = <T extends tf.Tensor>(t: tf.Tensor, i: number): T => tf.squeeze(tf.slice(t, [0, i], [t.shape[0]!, 1]), [1]);
