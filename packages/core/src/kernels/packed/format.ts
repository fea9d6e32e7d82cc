import { float32ToBf16 } from '../../bf16.js';
import { ConfigError } from '../../errors.js';

/** How a weight is kept: 16-bit floats two to a word, or 8- or 4-bit integers with a scale for each group of inputs. */
export type PackedFormat = 'bf16' | 'f16' | 'int8' | 'int4';
export const PACKED_FORMATS: readonly PackedFormat[] = ['bf16', 'f16', 'int8', 'int4'];

/** What kernels know about a packed weight (N, K) besides its words. */
export interface PackedAttrs {
  format: PackedFormat;
  /** Inputs that share a scale; 0 for the float formats, which have none. */
  group: number;
}

const VALUES_PER_WORD: Record<PackedFormat, number> = { bf16: 2, f16: 2, int8: 4, int4: 8 };
export const valuesPerWord = (format: PackedFormat): number => VALUES_PER_WORD[format];
export const bitsOf = (format: PackedFormat): number => 32 / VALUES_PER_WORD[format];
export const isInteger = (format: PackedFormat): boolean => format === 'int8' || format === 'int4';

/** Decodes `count` values from word `from` on; scales are those of the same row, from its first group. The definition of all formats. */
export function decodeWords(words: Int32Array, from: number, count: number, { format, group }: PackedAttrs, scales: Float32Array | undefined, scaleFrom: number, out: Float32Array, to: number): void {
  const per = valuesPerWord(format);
  const bits = bitsOf(format);
  for (let k = 0; k < count; k++) {
    const word = words[from + Math.floor(k / per)]!;
    // Shifted to the top and back, so that integers keep their sign.
    const field = word << (32 - bits * ((k % per) + 1));
    if (isInteger(format)) out[to + k] = (field >> (32 - bits)) * scales![scaleFrom + Math.floor(k / group)]!;
    else out[to + k] = format === 'bf16' ? floatOf(field & 0xffff0000) : halfOf(field >>> 16);
  }
}

const cell = new DataView(new ArrayBuffer(4));
function floatOf(bits: number): number {
  cell.setInt32(0, bits);
  return cell.getFloat32(0);
}

function halfOf(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const fraction = h & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/** The nearest f16, ties to even, as 16 bits; too large becomes infinite. */
function toF16(value: number): number {
  const sign = Object.is(value, -0) || value < 0 ? 0x8000 : 0;
  const a = Math.abs(Math.fround(value));
  if (Number.isNaN(a)) return 0x7e00;
  if (a >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(a || 2 ** -24)));
  const unit = 2 ** (exponent - 10);
  const steps = a / unit;
  const down = Math.floor(steps);
  const rest = steps - down;
  const rounded = rest > 0.5 || (rest === 0.5 && down % 2) ? down + 1 : down;
  // Rounding up to the next power of two carries into the exponent by itself; below 2^-14 the number is subnormal.
  return sign | (rounded >= 1024 ? ((exponent + 14) << 10) + rounded : rounded);
}

/** Encodes a row-major (rows, columns) matrix. Integers are symmetric: s = max|w| / 127 (or 7) of each group, q = round(w / s). */
export function encodeRows(values: Float32Array, rows: number, columns: number, { format, group }: PackedAttrs): { words: Int32Array; scales: Float32Array | undefined } {
  const per = valuesPerWord(format);
  if (columns % per) throw new ConfigError(`[packWeight] expected a number of inputs that is a multiple of ${per} for ${format}, got ${columns}.`);
  if (format === 'bf16') return { words: new Int32Array(float32ToBf16(values).buffer), scales: undefined };
  const bits = bitsOf(format);
  const mask = bits === 16 ? 0xffff : (1 << bits) - 1;
  const words = new Int32Array((rows * columns) / per);
  const put = (i: number, field: number) => (words[Math.floor(i / per)]! |= (field & mask) << (bits * (i % per)));
  if (!isInteger(format)) {
    for (let i = 0; i < values.length; i++) put(i, toF16(values[i]!));
    return { words, scales: undefined };
  }
  if (!(group > 0) || columns % group) throw new ConfigError(`[packWeight] expected a \`group\` that divides the ${columns} inputs, got ${group}.`);
  const most = format === 'int8' ? 127 : 7;
  const scales = new Float32Array((rows * columns) / group);
  for (let g = 0; g < scales.length; g++) {
    let top = 0;
    for (let i = g * group; i < (g + 1) * group; i++) top = Math.max(top, Math.abs(values[i]!));
    scales[g] = top / most;
    for (let i = g * group; i < (g + 1) * group; i++) put(i, scales[g] ? Math.max(-most, Math.min(most, Math.round(values[i]! / scales[g]!))) : 0);
  }
  return { words, scales };
}
