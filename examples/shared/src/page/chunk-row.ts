import { DataError } from '@bytelm/core';

/** What one stage decided: probabilities and boundaries of the positions that stage s−1 selected (stage 0: of every byte). */
export interface StageDecisions {
  p: ArrayLike<number>;
  b: ArrayLike<number>;
}

/** A number for each byte that is drawn below it, such as how uncertain a model was about the byte before it came. */
export interface ByteCurve {
  name: string;
  unit: string;
  /** One a byte; NaN where there is none. */
  values: ArrayLike<number>;
  /** Drawn as a line across. */
  threshold?: number;
}

/** A text and how a model cuts it. */
export interface ChunkRow {
  /** The bytes the model read, a leading BOS (254) included if there was one. */
  bytes: ArrayLike<number>;
  /** Outermost first; stage s+1 has one entry for each boundary of stage s. */
  stages: readonly StageDecisions[];
  curve?: ByteCurve;
  /** Shown above the row, e.g. `without blanks`. */
  label?: string;
}

/** The exported form of a row, as `chunks --json` prints it. */
export interface ChunkJson {
  bytes: number[];
  stages: { p: number[]; b: (0 | 1)[] }[];
  /** Where there is no number: `null`. */
  curve?: { name: string; unit: string; values: (number | null)[]; threshold?: number };
}

export function chunksJson(row: ChunkRow): ChunkJson {
  return {
    bytes: Array.from(row.bytes),
    stages: row.stages.map(({ p, b }) => ({ p: Array.from(p), b: Array.from(b, (v) => (v ? 1 : 0)) })),
    ...(row.curve && { curve: { ...row.curve, values: Array.from(row.curve.values, (v) => (Number.isFinite(v) ? v : null)) } }),
  };
}

/** One byte of a row with what every stage said at it. */
export interface ByteCell {
  /** 0..255 */
  byte: number;
  /** What is drawn below the hex digits. */
  glyph: string;
  /** Continues the character of the cell before. */
  continues: boolean;
  /** Per stage: `undefined` where the stage did not look at this byte. */
  stages: ({ p: number; boundary: boolean } | undefined)[];
  /** How many stages, counted from outside, have a boundary here. */
  depth: number;
}

/** Sizes of one stage's chunks. */
export interface StageSummary {
  /** Positions the stage looked at, and how many it selected. */
  positions: number;
  chunks: number;
  bytesPerChunk: number;
  longestBytes: number;
}

/**
 * The row by bytes.
 * @throws DataError when a stage does not have one entry per position of the stage outside it.
 */
export function byteCells(row: ChunkRow): ByteCell[] {
  const glyphs = glyphsOf(row.bytes);
  const cells: ByteCell[] = glyphs.map((g, i) => ({ byte: row.bytes[i]!, ...g, stages: [], depth: 0 }));
  if (row.curve && row.curve.values.length !== cells.length) {
    throw new DataError(`[chunks] ${row.curve.name}: expected ${cells.length} values (one a byte), got ${row.curve.values.length}.`);
  }
  let positions = cells.map((_, i) => i);
  row.stages.forEach(({ p, b }, s) => {
    if (p.length !== positions.length || b.length !== positions.length) {
      throw new DataError(
        `[chunks] stage ${s}: expected ${positions.length} entries (${s ? `the boundaries of stage ${s - 1}` : 'one a byte'}), got p ${p.length} and b ${b.length}.`,
      );
    }
    const next: number[] = [];
    positions.forEach((at, i) => {
      cells[at]!.stages[s] = { p: p[i]!, boundary: Boolean(b[i]) };
      if (b[i]) {
        cells[at]!.depth = s + 1;
        next.push(at);
      }
    });
    positions = next;
  });
  return cells;
}

/** Counts per stage, outermost first. */
export function summarize(row: ChunkRow): StageSummary[] {
  const cells = byteCells(row);
  return row.stages.map(({ b }, s) => {
    const starts = cells.flatMap((c, i) => (c.depth > s ? [i] : []));
    const ends = [...starts.slice(1), cells.length];
    return {
      positions: b.length,
      chunks: starts.length,
      bytesPerChunk: starts.length ? cells.length / starts.length : 0,
      longestBytes: starts.reduce((most, from, i) => Math.max(most, ends[i]! - from), 0),
    };
  });
}

const NAMES: Record<number, string> = { 0x20: '_', 0x0a: '\\n', 0x0d: '\\r', 0x09: '\\t', 0xfe: 'BOS', 0xff: 'EOS' };

/** A glyph per byte: a character stands at its first byte, `·` at the bytes that continue it, `×` at bytes that are no UTF-8. */
function glyphsOf(bytes: ArrayLike<number>): { glyph: string; continues: boolean }[] {
  const out: { glyph: string; continues: boolean }[] = [];
  for (let i = 0; i < bytes.length; ) {
    const byte = bytes[i]!;
    const length = utf8Length(bytes, i);
    if (NAMES[byte]) out.push({ glyph: NAMES[byte], continues: false });
    else if (!length || byte < 0x20 || byte === 0x7f) out.push({ glyph: '×', continues: false });
    else out.push({ glyph: new TextDecoder().decode(Uint8Array.from({ length }, (_, k) => bytes[i + k]!)), continues: false });
    for (let k = 1; k < length; k++) out.push({ glyph: '·', continues: true });
    i += Math.max(1, length);
  }
  return out;
}

/** Length of the valid UTF-8 character at i, or 0. */
function utf8Length(bytes: ArrayLike<number>, i: number): number {
  const lead = bytes[i]!;
  const length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (!length || i + length > bytes.length) return 0;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from({ length }, (_, k) => bytes[i + k]!));
    return length;
  } catch {
    return 0;
  }
}
