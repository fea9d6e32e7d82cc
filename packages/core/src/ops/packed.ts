import * as tf from '@tensorflow/tfjs-core';
import { checkShape, type Dims } from '../check-shape.js';
import { ConfigError } from '../errors.js';
import { encodeRows, isInteger, PACKED_FORMATS, valuesPerWord, type PackedAttrs, type PackedFormat } from '../kernels/packed/format.js';
import { packedLinearOp, unpackOp } from '../kernels/packed/op.js';

export type { PackedFormat } from '../kernels/packed/format.js';

/**
 * A weight (N, K) kept in fewer bits, packed along K into 32-bit words, the first value in the lowest bits.
 *
 * `bf16` and `f16`: two to a word; published bf16 weights lose nothing. `int8` and `int4`: two's complement, times a scale for each row and
 * `group` of inputs.
 */
export interface PackedWeight {
  format: PackedFormat;
  /** (N, K / 2, 4 or 8) int32. */
  words: tf.Tensor2D;
  /** (N, K / group) float32, for `int8` and `int4`. */
  scales?: tf.Tensor2D | undefined;
  /** Inputs that share a scale. */
  group?: number | undefined;
}

/**
 * Packs a weight on the host: floats by rounding to nearest even, integers symmetric with s = max|w| / 127 (or 7) of each group.
 *
 * @param weight (N, K) row-major. K a multiple of the values in a word (and of `group`).
 * @param options.group For `int8` and `int4`. Default 32.
 * @throws ConfigError
 * @example
 * const half = packWeight(await w.data(), w.shape, 'bf16');
 */
export function packWeight(weight: Float32Array, [n, k]: readonly [number, number], format: PackedFormat, options: { group?: number } = {}): PackedWeight {
  if (!PACKED_FORMATS.includes(format)) throw new ConfigError(`[packWeight] format: expected one of ${PACKED_FORMATS.join(', ')}, got ${JSON.stringify(format)}.`);
  if (weight.length !== n * k) throw new ConfigError(`[packWeight] expected ${n} x ${k} = ${n * k} values, got ${weight.length}.`);
  const group = isInteger(format) ? (options.group ?? 32) : 0;
  const { words, scales } = encodeRows(weight, n, k, { format, group });
  return {
    format,
    words: tf.tensor2d(words, [n, k / valuesPerWord(format)], 'int32'),
    ...(scales && { scales: tf.tensor2d(scales, [n, k / group]), group }),
  };
}

/** The weight as float32, (N, K). @throws ShapeError, ConfigError */
export function unpackWeight(weight: PackedWeight): tf.Tensor2D {
  const { attrs } = checkPacked('unpackWeight', weight);
  return unpackOp({ words: weight.words, scales: weight.scales }, attrs)[0] as tf.Tensor2D;
}

/**
 * Linear layer with a packed weight, `y = x unpack(W)ᵀ + bias`, accumulated in float32. On wasm the weight is unpacked row by row while it is
 * read: decoding from memory costs half (or less) of the float32 product.
 *
 * @param x (..., K) float32. @param bias (N).
 * @returns (..., N). Differentiable in `x` and `bias`; packed weights are frozen.
 * @throws ShapeError, ConfigError
 */
export function packedLinear(x: tf.Tensor, weight: PackedWeight, bias?: tf.Tensor | null): tf.Tensor {
  const { attrs, k, dims } = checkPacked('packedLinear', weight);
  checkShape('packedLinear', x, 'x', `(..., ${k})`, dims, 'float32');
  if (bias) checkShape('packedLinear', bias, 'bias', '(N)', dims, 'float32');
  return packedLinearOp({ x, words: weight.words, scales: weight.scales, bias: bias ?? undefined }, attrs)[0]!;
}

function checkPacked(where: string, { format, words, scales, group = 0 }: PackedWeight): { attrs: PackedAttrs; k: number; dims: Dims } {
  const dims: Dims = {};
  if (!PACKED_FORMATS.includes(format)) throw new ConfigError(`[${where}] format: expected one of ${PACKED_FORMATS.join(', ')}, got ${JSON.stringify(format)}.`);
  checkShape(where, words, 'words', '(N, W)', dims, 'int32');
  const k = words.shape[1] * valuesPerWord(format);
  if (isInteger(format)) {
    if (!scales || !(group > 0) || k % group) {
      throw new ConfigError(`[${where}] ${format}: expected \`scales\` and a \`group\` that divides the ${k} inputs, got ${scales ? '' : 'no scales and '}group ${group}.`);
    }
    checkShape(where, scales, 'scales', `(N, ${k / group})`, dims, 'float32');
  } else if (scales) throw new ConfigError(`[${where}] ${format}: \`scales\` belong to int8 and int4.`);
  return { attrs: { format, group: isInteger(format) ? group : 0 }, k, dims };
}
