import * as tf from '@tensorflow/tfjs-core';
import { canReadSync } from '../backend/can-read-sync.js';
import { BackendError, ConfigError } from '../errors.js';
import { packWeight, type PackedWeight } from '../ops/packed.js';
import type { HasParameters } from './module.js';

/** How layers keep their matrices. `bf16`: two values to a word, half the memory, frozen; published bf16 weights lose nothing. */
export type WeightFormat = 'float32' | 'bf16';
export const WEIGHT_FORMATS: readonly WeightFormat[] = ['float32', 'bf16'];

let current: WeightFormat = 'float32';
/** Rows and columns of the matrix whose words a variable holds. */
const packedShapes = new WeakMap<tf.Tensor, readonly [number, number]>();

/**
 * Layers that are made inside of `build` keep their matrices in this format: those of `Linear` and `LinearHead`, and of everything that consists of
 * them. Matrices with an odd number of inputs and what is no such matrix (embeddings, norms, Mamba-2 and mLSTM cells) stay float32. Packed weights
 * cannot be trained. `loadParameters` fills them: bf16 values bit by bit, others rounded to the nearest; `saveSafetensors` writes them as BF16.
 *
 * @param build Synchronous; formats may be nested.
 * @throws ConfigError for an unknown format or an asynchronous `build`.
 * @example
 * const model = withWeightFormat('bf16', () => new LatentTransformer(config));
 * await loadParameters(model, await openCheckpoint('model.safetensors'));
 */
export function withWeightFormat<T>(format: WeightFormat, build: () => T): T {
  if (!WEIGHT_FORMATS.includes(format)) throw new ConfigError(`[withWeightFormat] format: expected one of ${WEIGHT_FORMATS.join(', ')}, got ${JSON.stringify(format)}.`);
  const before = current;
  current = format;
  try {
    const made = build();
    if (made instanceof Promise) throw new ConfigError('[withWeightFormat] build: expected a synchronous function, got a promise. Hint: make the model inside, load it outside.');
    return made;
  } finally {
    current = before;
  }
}

/** Does a matrix with so many inputs, made now, belong packed? */
export const packsNow = (columns: number): boolean => current !== 'float32' && columns % 2 === 0 && columns > 0;

/**
 * The words of a packed (rows, columns) matrix as a frozen variable's initial value.
 * @param initial float32 values to round, disposed of; without them zeros.
 */
export function packedWords([rows, columns]: readonly [number, number], initial: tf.Tensor | undefined): tf.Tensor {
  if (!initial) return tf.zeros([rows, columns / 2], 'int32');
  if (!canReadSync()) throw new BackendError(`[withWeightFormat] initial weights cannot be packed on '${tf.getBackend()}', which does not read synchronously. Hint: leave out \`rng\` and load a checkpoint.`);
  const { words } = packWeight(initial.dataSync() as Float32Array, [rows, columns], 'bf16');
  initial.dispose();
  return words;
}

/** Notes what a variable holds, and gives it as the ops take it. */
export function asPacked(variable: tf.Variable, shape: readonly [number, number]): PackedWeight {
  packedShapes.set(variable, shape);
  return { format: 'bf16', words: variable as tf.Tensor as tf.Tensor2D };
}

/** Rows and columns of a packed parameter; `undefined` for a plain one. */
export const packedShape = (variable: object): readonly [number, number] | undefined => packedShapes.get(variable as tf.Tensor);

/** @throws ConfigError where parameters are packed. */
export function checkTrainable(where: string, module: HasParameters): void {
  const packed = [...module.parameters()].filter(([, v]) => packedShape(v)).map(([name]) => name);
  if (!packed.length) return;
  throw new ConfigError(`[${where}] ${packed.length} weights are kept in bf16 and cannot be trained, the first is ${packed[0]}. Hint: make the model without withWeightFormat('bf16', …).`);
}
