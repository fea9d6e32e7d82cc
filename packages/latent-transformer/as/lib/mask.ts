/**
 * Which keys a query sees, as intervals: every rule (causal, window, segments, lengths, empty slots) comes down to
 * `qLo[i] <= kPos[j] <= qHi[i]` and, with segments, `qSegLo[i] <= kSeg[j] <= qSegHi[i]`. Extremes of each tile of 64 tell tiles that
 * nobody sees (skipped) and tiles that all see (not masked) from the rest.
 */
export const TILE: i32 = 64;
export const NONE: i32 = 0;
export const PARTIAL: i32 = 1;
export const FULL: i32 = 2;
/** Added to nothing, put in place of hidden scores. */
export const HIDDEN: f32 = -1e30;

/** Position of what is no key: below every `qLo`. */
const NO_KEY: i32 = i32.MIN_VALUE;

// @ts-ignore: decorator
@unmanaged
export class Mask {
  segments: bool;
  qLo: usize;
  qHi: usize;
  qSegLo: usize;
  qSegHi: usize;
  kPos: usize;
  kSeg: usize;
  /** Per tile of queries: min lo, max lo, min hi, max hi, then the same of segments. */
  qTiles: usize;
  /** Per tile of keys: min position (NO_KEY when one is none), min of real ones, max, min segment, max segment. */
  kTiles: usize;
}

const STRUCT_BYTES: usize = 64;

// @ts-ignore: decorator
@inline
function tiles(n: i32): i32 {
  return (n + TILE - 1) / TILE;
}

/** Bytes that `Mask` and its arrays take for one row of a batch. */
export function maskBytes(queries: i32, keys: i32): usize {
  return STRUCT_BYTES + (<usize>(tiles(queries) * (4 * TILE + 8) + tiles(keys) * (2 * TILE + 5)) << 2);
}

// @ts-ignore: decorator
@inline
function at(p: usize, i: i32): i32 {
  return load<i32>(p + (<usize>i << 2));
}

// @ts-ignore: decorator
@inline
function put(p: usize, i: i32, v: i32): void {
  store<i32>(p + (<usize>i << 2), v);
}

/**
 * Fills the intervals of one row of a batch.
 *
 * @param queryPositions, keyPositions, querySegments, keySegments i32 arrays of this row; 0 = not given
 * @param keyLength keys from there on are padding
 */
export function fillMask(
  space: usize, queries: i32, keys: i32,
  queryPositions: usize, keyPositions: usize, querySegments: usize, keySegments: usize,
  keyLength: i32, causal: bool, offset: i32, windowLeft: i32, segmentsUpTo: bool,
): Mask {
  const m = changetype<Mask>(space);
  const qn = tiles(queries) * TILE;
  const kn = tiles(keys) * TILE;
  m.segments = querySegments != 0;
  m.qLo = space + STRUCT_BYTES;
  m.qHi = m.qLo + (<usize>qn << 2);
  m.qSegLo = m.qHi + (<usize>qn << 2);
  m.qSegHi = m.qSegLo + (<usize>qn << 2);
  m.kPos = m.qSegHi + (<usize>qn << 2);
  m.kSeg = m.kPos + (<usize>kn << 2);
  m.qTiles = m.kSeg + (<usize>kn << 2);
  m.kTiles = m.qTiles + (<usize>(tiles(queries) * 8) << 2);
  for (let i = 0; i < queries; i++) {
    const p = queryPositions ? at(queryPositions, i) : i + offset;
    put(m.qLo, i, windowLeft >= 0 ? p - windowLeft : NO_KEY + 1);
    put(m.qHi, i, causal ? p : i32.MAX_VALUE);
    const s = querySegments ? at(querySegments, i) : 0;
    put(m.qSegLo, i, segmentsUpTo ? i32.MIN_VALUE : s);
    put(m.qSegHi, i, s);
  }
  for (let j = 0; j < kn; j++) {
    let p = NO_KEY;
    if (j < keys && j < keyLength) {
      p = keyPositions ? at(keyPositions, j) : j;
      if (p < 0) p = NO_KEY;
    }
    put(m.kPos, j, p);
    put(m.kSeg, j, keySegments && j < keys ? at(keySegments, j) : 0);
  }
  queryExtremes(m, queries);
  keyExtremes(m, keys);
  return m;
}

function queryExtremes(m: Mask, queries: i32): void {
  for (let t = 0; t < tiles(queries); t++) {
    let loMin = i32.MAX_VALUE, loMax = i32.MIN_VALUE, hiMin = i32.MAX_VALUE, hiMax = i32.MIN_VALUE;
    let sLoMin = i32.MAX_VALUE, sLoMax = i32.MIN_VALUE, sHiMin = i32.MAX_VALUE, sHiMax = i32.MIN_VALUE;
    for (let i = t * TILE; i < min(queries, (t + 1) * TILE); i++) {
      loMin = min(loMin, at(m.qLo, i));
      loMax = max(loMax, at(m.qLo, i));
      hiMin = min(hiMin, at(m.qHi, i));
      hiMax = max(hiMax, at(m.qHi, i));
      sLoMin = min(sLoMin, at(m.qSegLo, i));
      sLoMax = max(sLoMax, at(m.qSegLo, i));
      sHiMin = min(sHiMin, at(m.qSegHi, i));
      sHiMax = max(sHiMax, at(m.qSegHi, i));
    }
    const p = m.qTiles + (<usize>(t * 8) << 2);
    put(p, 0, loMin);
    put(p, 1, loMax);
    put(p, 2, hiMin);
    put(p, 3, hiMax);
    put(p, 4, sLoMin);
    put(p, 5, sLoMax);
    put(p, 6, sHiMin);
    put(p, 7, sHiMax);
  }
}

function keyExtremes(m: Mask, keys: i32): void {
  for (let t = 0; t < tiles(keys); t++) {
    let lowest = i32.MAX_VALUE, real = i32.MAX_VALUE, top = i32.MIN_VALUE, sMin = i32.MAX_VALUE, sMax = i32.MIN_VALUE;
    // Rows of scores are worked on four at a time: what lies beyond the last key must be masked too.
    const end = min((keys + 3) & ~3, (t + 1) * TILE);
    for (let j = t * TILE; j < end; j++) {
      const p = at(m.kPos, j);
      lowest = min(lowest, p);
      if (p == NO_KEY) continue;
      real = min(real, p);
      top = max(top, p);
      sMin = min(sMin, at(m.kSeg, j));
      sMax = max(sMax, at(m.kSeg, j));
    }
    const p = m.kTiles + (<usize>(t * 5) << 2);
    put(p, 0, lowest);
    put(p, 1, real);
    put(p, 2, top);
    put(p, 3, sMin);
    put(p, 4, sMax);
  }
}

/** NONE, PARTIAL or FULL: what tile `qt` of queries sees of tile `kt` of keys. */
export function visibility(m: Mask, qt: i32, kt: i32): i32 {
  const q = m.qTiles + (<usize>(qt * 8) << 2);
  const k = m.kTiles + (<usize>(kt * 5) << 2);
  if (at(k, 2) < at(q, 0) || at(k, 1) > at(q, 3)) return NONE;
  if (m.segments && (at(k, 4) < at(q, 4) || at(k, 3) > at(q, 7))) return NONE;
  if (at(k, 0) < at(q, 1) || at(k, 2) > at(q, 2)) return PARTIAL;
  if (m.segments && (at(k, 3) < at(q, 5) || at(k, 4) > at(q, 6))) return PARTIAL;
  return FULL;
}

/** All-ones lanes where query i sees keys j..j+3. */
// @ts-ignore: decorator
@inline
export function seen4(m: Mask, i: i32, j: i32): v128 {
  const o = <usize>i << 2;
  const p = v128.load(m.kPos + (<usize>j << 2));
  const inside = v128.and(i32x4.ge_s(p, v128.load32_splat(m.qLo + o)), i32x4.le_s(p, v128.load32_splat(m.qHi + o)));
  if (!m.segments) return inside;
  const s = v128.load(m.kSeg + (<usize>j << 2));
  return v128.and(inside, v128.and(i32x4.ge_s(s, v128.load32_splat(m.qSegLo + o)), i32x4.le_s(s, v128.load32_splat(m.qSegHi + o))));
}
