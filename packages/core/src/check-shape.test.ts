import { describe, expect, it } from 'vitest';
import { checkShape, type Dims } from './check-shape.js';

const t = (shape: number[], dtype = 'float32') => ({ shape, dtype });

describe('checkShape', () => {
  it('binds letters across arguments', () => {
    const d: Dims = {};
    checkShape('op', t([2, 5, 4]), 'x', '(B, L, H)', d);
    expect(checkShape('op', t([9, 2, 4]), 'y', '(..., B, H)', d)).toEqual({ B: 2, L: 5, H: 4 });
  });

  it('says where, what was expected, what came and what to do', () => {
    const d = { B: 2, L: 37 };
    expect(() => checkShape('ssd', t([2, 36]), 'dt', '(B, L)', d)).toThrow('[ssd] `dt`: expected shape (B, L) = (2, 37), got (2, 36).');
    expect(() => checkShape('ssd', t([2]), 'dt', '(B, L)', d)).toThrow('got (2). Hint: the rank must be 2.');
    expect(() => checkShape('ssd', undefined, 'dt', '(B, L)', d)).toThrow('[ssd] `dt`: expected shape (B, L) = (2, 37), got nothing. Hint: pass a tensor.');
    expect(() => checkShape('ssd', t([2, 37], 'int32'), 'dt', '(B, L)', d, 'float32')).toThrow("expected dtype float32, got int32. Hint: tf.cast(dt, 'float32').");
  });
});
