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
  const axes = parse(pattern);
  if (!matches(x, axes, dims)) throw shapeError(where, x, name, pattern, axes, dims);
  if (dtype && x!.dtype !== dtype) {
    throw new ShapeError(`[${where}] \`${name}\`: expected dtype ${dtype}, got ${x!.dtype}. Hint: tf.cast(${name}, '${dtype}').`);
  }
  return dims;
}

/**
 * Checks the input of a decoding step, (R, width) with one row for each of `rows`, or for each row of a state of `batch`. Rows ascend.
 *
 * @throws ShapeError
 */
export function checkStep(where: string, x: Shaped, width: number, batch: number, rows?: readonly number[]): void {
  const R = rows ? rows.length : batch;
  if (x.shape.length !== 2 || x.shape[0] !== R || x.shape[1] !== width || R === 0) {
    throw new ShapeError(`[${where}] \`x\`: expected shape (R, D) = (${R}, ${width}) with at least one row, got (${x.shape.join(', ')}).`);
  }
  if (rows?.some((r, i) => !(r >= 0 && r < batch) || (i > 0 && r <= rows[i - 1]!))) {
    throw new ShapeError(`[${where}] \`rows\`: expected ascending rows of a state of ${batch}, got [${rows.join(', ')}].`);
  }
}

interface Axes {
  open: boolean;
  letters: string[];
  /** Size where the pattern has a number, −1 for letters. */
  sizes: number[];
}

/** Decoding steps check the same patterns thousands of times a second. */
const parsed = new Map<string, Axes>();

function parse(pattern: string): Axes {
  let axes = parsed.get(pattern);
  if (!axes) {
    const all = pattern.replace(/[()\s]/g, '').split(',').filter(Boolean);
    const open = all[0] === '...';
    const letters = open ? all.slice(1) : all;
    axes = { open, letters, sizes: letters.map((l) => (/^\d+$/.test(l) ? Number(l) : -1)) };
    parsed.set(pattern, axes);
  }
  return axes;
}

/** Binds open letters only when everything fits: an error says what was known before. */
function matches(x: Shaped | undefined, { open, letters, sizes }: Axes, dims: Dims): boolean {
  if (!x || !Array.isArray(x.shape)) return false;
  const skip = x.shape.length - letters.length;
  if (open ? skip < 0 : skip !== 0) return false;
  for (let i = 0; i < letters.length; i++) {
    const want = sizes[i]! >= 0 ? sizes[i] : dims[letters[i]!];
    if (want !== undefined && want !== x.shape[skip + i]) return false;
  }
  for (let i = 0; i < letters.length; i++) if (sizes[i]! < 0) dims[letters[i]!] = x.shape[skip + i]!;
  return true;
}

function shapeError(where: string, x: Shaped | undefined, name: string, pattern: string, { open, letters }: Axes, dims: Dims): ShapeError {
  const lead = open ? ['...'] : [];
  const known = [...lead, ...letters.map((l) => String(dims[l] ?? l))];
  const plain = [...lead, ...letters];
  const expected = `expected shape ${pattern}${known.join() === plain.join() ? '' : ` = (${known.join(', ')})`}`;
  if (!x || !Array.isArray(x.shape)) {
    return new ShapeError(`[${where}] \`${name}\`: ${expected}, got ${x === undefined ? 'nothing' : typeof x}. Hint: pass a tensor.`);
  }
  const rankFits = open ? x.shape.length >= letters.length : x.shape.length === letters.length;
  const hint = rankFits ? '' : ` Hint: the rank must be ${open ? 'at least ' : ''}${letters.length}.`;
  return new ShapeError(`[${where}] \`${name}\`: ${expected}, got (${x.shape.join(', ')}).${hint}`);
}
