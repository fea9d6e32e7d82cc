import { ShapeError } from './errors.js';

/** Letters bound to sizes by earlier checks of the same call. */
export type Dims = Record<string, number>;

interface Shaped {
  readonly shape: readonly number[];
  readonly dtype: string;
}

/**
 * Checks `x` against a pattern such as `'(B, L, 4)'` and binds letters that are not bound yet. `...` at the front stands for any
 * number of leading axes.
 *
 * @throws ShapeError naming the op, the argument, what was expected with letters and numbers, and what came.
 * @example
 * const d: Dims = {};
 * checkShape('ssd', x, 'x', '(B, L, H, P)', d);
 * checkShape('ssd', dt, 'dt', '(B, L, H)', d);
 */
export function checkShape(where: string, x: Shaped | undefined, name: string, pattern: string, dims: Dims = {}, dtype?: string): Dims {
  const letters = pattern.replace(/[()\s]/g, '').split(',').filter(Boolean);
  const known = letters.map((l) => (l === '...' ? l : /^\d+$/.test(l) ? l : (dims[l] ?? l)));
  const expected = `expected shape ${pattern}${known.join() === letters.join() ? '' : ` = (${known.join(', ')})`}`;
  if (x === undefined || x === null || !Array.isArray(x.shape)) {
    throw new ShapeError(`[${where}] \`${name}\`: ${expected}, got ${x === undefined ? 'nothing' : typeof x}. Hint: pass a tensor.`);
  }
  const fail = (hint = ''): never => {
    throw new ShapeError(`[${where}] \`${name}\`: ${expected}, got (${x.shape.join(', ')}).${hint && ` Hint: ${hint}`}`);
  };
  const open = letters[0] === '...';
  const fixed = open ? letters.slice(1) : letters;
  if (open ? x.shape.length < fixed.length : x.shape.length !== fixed.length) fail(`the rank must be ${open ? 'at least ' : ''}${fixed.length}.`);
  const tail = x.shape.slice(x.shape.length - fixed.length);
  fixed.forEach((letter, i) => {
    const size = tail[i]!;
    const want = /^\d+$/.test(letter) ? Number(letter) : dims[letter];
    if (want === undefined) dims[letter] = size;
    else if (want !== size) fail();
  });
  if (dtype && x.dtype !== dtype) {
    throw new ShapeError(`[${where}] \`${name}\`: expected dtype ${dtype}, got ${x.dtype}. Hint: tf.cast(${name}, '${dtype}').`);
  }
  return dims;
}
