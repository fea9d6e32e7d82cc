import { count, formName, heightOf, SIDE, vectors, type Form, type RowWidth } from './webgpu-text.js';

/** What a workgroup takes of a pass over queries and keys. */
export interface AttentionTile extends Form {
  /** Rows that a workgroup owns, and columns that it reads at a time: multiples of eight (rows: of `height`). */
  rows: number;
  columns: number;
}

/** What the text of a kernel depends on; all else is in uniforms. */
export interface AttentionText extends AttentionTile {
  /** Widths of heads; with `isRolled` only their class. */
  dim: number;
  valueDim: number;
  isMasked: boolean;
  /**
   * Widths are uniforms and loops stay loops: one text for all heads of a class. Software adapters take seconds to compile what hardware's
   * compilers unroll in milliseconds.
   */
  isRolled: boolean;
}

/** Vectors a thread column has of a head, and a head's in workgroup memory with one more against bank conflicts. */
export const shares = ({ dim, valueDim }: Pick<AttentionText, 'dim' | 'valueDim'>): number => Math.ceil(Math.max(vectors(dim), vectors(valueDim)) / SIDE);
export const strideOf = (a: Pick<AttentionText, 'dim' | 'valueDim'>): number => SIDE * shares(a) + 1;

export const tileName = (a: AttentionTile): string => `tile ${a.rows} x ${a.columns}${formName(a)}`;

export const nameOf = (a: AttentionText): string =>
  `${a.isRolled ? `up to ${4 * SIDE * shares(a)}, ${isAligned(a.dim)} ${isAligned(a.valueDim)}` : `${a.dim}, ${a.valueDim}`}, ${tileName(a)}${a.isMasked ? ', masked' : ''}`;

const isAligned = (width: number) => width % 4 === 0;

/** Pieces of text that differ between rolled and unrolled. */
export function partsOf(a: AttentionText) {
  const width = (n: number, uniform: string): RowWidth => (a.isRolled ? { uniform: `u.${uniform}`, isAligned: isAligned(n) } : n);
  const constant = (n: number, uniform: string) => (a.isRolled ? `u.${uniform}` : `${n}u`);
  const size = (n: number, uniform: string) => (a.isRolled ? `(u.${uniform} + 3u) / 4u` : `${vectors(n)}u`);
  return {
    dim: width(a.dim, 'dim'),
    valueDim: width(a.valueDim, 'valueDim'),
    /** D and V: vectors of a head; N: columns of a tile; S: threads of a side. */
    sizes: `  let D = ${size(a.dim, 'dim')};
  let V = ${size(a.valueDim, 'valueDim')};
  let N = ${constant(a.columns, 'columns')};
  let S = ${constant(SIDE, 'side')};`,
    R: a.rows / heightOf(a),
    C: a.columns / SIDE,
    /** Vectors of an output row that a thread owns. */
    ofDim: a.isRolled ? shares(a) : Math.ceil(vectors(a.dim) / SIDE),
    ofValue: a.isRolled ? shares(a) : Math.ceil(vectors(a.valueDim) / SIDE),
    stride: strideOf(a),
    weightStride: a.columns + 1,
  };
}

export const joined = (n: number, item: (i: number) => string, join: (x: string, y: string) => string): string => count(n).map(item).reduce(join);
