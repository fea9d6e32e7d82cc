import { describe, expect, it } from 'vitest';
import { float32ToBf16 } from './bf16.js';
import { encodeRows } from './kernels/packed/format.js';

const hex = (halves: Uint16Array) => Array.from(halves, (h) => h.toString(16));
/** float32 values given by their bits: NaNs as they are. */
const floats = (...bits: number[]) => new Float32Array(Uint32Array.from(bits).buffer);

describe('float32 to bfloat16', () => {
  it('is the nearest value, ties to even', () => {
    const values = Float32Array.of(0, -0, 1, -1.5, 1 + 2 ** -8, -1 - 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -9, 3.4e38, 2 ** -133);
    expect(hex(float32ToBf16(values))).toEqual(['0', '8000', '3f80', 'bfc0', '3f80', 'bf82', '3f81', '3f80', '7f80', '1']);
    expect(hex(float32ToBf16(values.subarray(2, 4)))).toEqual(['3f80', 'bfc0']);
  });

  it('keeps infinities, and every NaN a NaN of its sign', () => {
    expect(hex(float32ToBf16(floats(0x7f800000, 0xff800000)))).toEqual(['7f80', 'ff80']);
    // The lowest bit alone, all bits, a signalling NaN with bits in both halves.
    expect(hex(float32ToBf16(floats(0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff, 0x7f812345)))).toEqual(['7fc0', 'ffc0', '7fff', 'ffff', '7fc1']);
  });

  it('is how packed weights are rounded', () => {
    const values = floats(0x3f808000, 0xffffffff, 0x7f800001, 0xbf818000);
    const { words } = encodeRows(values, 2, 2, { format: 'bf16', group: 0 });
    expect(new Uint16Array(words.buffer)).toEqual(float32ToBf16(values));
  });
});
