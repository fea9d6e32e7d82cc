import { describe, expect, it } from 'vitest';
import type { SavableTensor, StreamedTensor } from '@bytelm/core/io';
import { storedAsBf16 } from './bf16.js';

/** The 16-bit words that are written. */
async function words(tensor: SavableTensor): Promise<string[]> {
  const bytes: number[] = [];
  for await (const piece of (storedAsBf16(tensor) as StreamedTensor).chunks()) bytes.push(...piece);
  return Array.from(new Uint16Array(Uint8Array.from(bytes).buffer), (w) => w.toString(16));
}

describe('weights in bf16', () => {
  it('are the nearest values, ties to even', async () => {
    const values = Float32Array.of(0, -0, 1, -1.5, 1 + 2 ** -8, -1 - 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -9, 3.4e38, -Infinity);
    expect(await words({ dtype: 'float32', shape: [10], values })).toEqual(['0', '8000', '3f80', 'bfc0', '3f80', 'bf82', '3f81', '3f80', '7f80', 'ff80']);
  });

  it('are streamed piece by piece; tensors of other kinds stay as they are', async () => {
    const values = Float32Array.of(1 + 2 ** -8, 2, -3, 0.5);
    const bytes = new Uint8Array(values.buffer);
    const streamed: StreamedTensor = { dtype: 'F32', shape: [2, 2], chunks: () => [bytes.slice(0, 8), bytes.slice(8)] };
    expect(storedAsBf16(streamed)).toMatchObject({ dtype: 'BF16', shape: [2, 2] });
    expect(await words(streamed)).toEqual(['3f80', '4000', 'c040', '3f00']);
    const ids = { dtype: 'int32' as const, shape: [1], values: Int32Array.of(7) };
    expect(storedAsBf16(ids)).toBe(ids);
  });
});
