import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { lengthBucket } from './length-bucket.js';

it('holds the length, wastes at most a third, and is monotone with few values', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1 << 20 }), (n) => {
      const b = lengthBucket(n);
      expect(b).toBeGreaterThanOrEqual(n);
      if (n > 16) expect(b).toBeLessThan(n * 1.5);
      expect(lengthBucket(n + 1)).toBeGreaterThanOrEqual(b);
      expect(lengthBucket(b)).toBe(b);
    }),
  );
  expect(new Set(Array.from({ length: 10_000 }, (_, n) => lengthBucket(n))).size).toBeLessThan(24);
});
