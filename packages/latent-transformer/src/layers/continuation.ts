import type { SequenceContext } from '@bytelm/core';

/** Where the positions of a piece lie when its rows go on from `lengths` earlier ones. All on the host. */
export interface Continuation {
  /** (B*T): counted on from the row's length, from 0 again at each further document. */
  positions: Int32Array;
  /** The one position of index 0 when all rows agree and no document begins inside, else `positions`. */
  start: number | Int32Array;
  maxPosition: number;
  /** First index of each row that stays in its state: the start of its last document. */
  from: Int32Array;
  /** Positions from there on. */
  counts: Int32Array;
  /** Rows whose earlier positions are forgotten, because a further document began. */
  restarts: number[];
}

export function layOut(lengths: Int32Array, ctx: SequenceContext): Continuation {
  const { batch, length } = ctx;
  const positions = new Int32Array(batch * length);
  const from = new Int32Array(batch);
  const counts = new Int32Array(batch);
  const restarts: number[] = [];
  let maxPosition = 0;
  for (let b = 0; b < batch; b++) {
    let p = lengths[b]!;
    let n = 0;
    for (let t = 0; t < length; t++) {
      const real = ctx.isReal(b, t);
      if (t > 0 && ctx.isStart(b, t)) {
        p = 0;
        if (real) from[b] = t;
      }
      if (real) n = t + 1;
      positions[b * length + t] = p;
      maxPosition = Math.max(maxPosition, p++);
    }
    counts[b] = n - from[b]!;
    if (from[b]! > 0) restarts.push(b);
  }
  const uniform = !ctx.documentIds && lengths.every((n) => n === lengths[0]);
  return { positions, start: uniform ? (lengths[0] ?? 0) : positions, maxPosition, from, counts, restarts };
}
