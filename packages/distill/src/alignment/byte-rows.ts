import { ConfigError, DataError } from '@bytelm/core';
import { END_SYMBOL, PAD_SYMBOL, type SubwordVocabulary } from './vocabulary.js';

/** How a student numbers bytes and special symbols. */
export interface StudentVocabulary {
  /** id = byte + offset. */
  offset: number;
  /** Starts every row, and stands for `END_SYMBOL` unless `eos` says otherwise. */
  bos: number;
  /** Stands for `END_SYMBOL`. Bolmo has bos and eos in one: 1. */
  eos: number;
  /** Stands for `PAD_SYMBOL` and fills rows. */
  pad: number;
  /** Ids below this are bytes and special symbols; the same ids plus this number say "and a patch ends here". */
  numIds: number;
}

/** Bolmo's: four special ids in front, 260 of them, and 260 fused ones behind. */
export const BOLMO_VOCABULARY: Readonly<StudentVocabulary> = { offset: 4, bos: 1, eos: 1, pad: 0, numIds: 260 };

export interface ByteRowsOptions {
  vocabulary: SubwordVocabulary;
  student?: StudentVocabulary;
  /** Ids a row holds at most; whole patches are left out beyond it. Default: what the longest row needs. */
  maxBytes?: number;
  /** Round the ids of a row up to a multiple of this where `maxBytes` is not given: few sizes for WebGPU. Default 1. */
  padBytesTo?: number | undefined;
  /** Patches of a row; default: tokens of the longest row. Shorter rows have empty patches at the end. */
  maxPatches?: number;
  /**
   * The byte before a document end is labelled as no boundary, so that the last subword and the end form one patch: the model can end
   * without another call of its main network. Default true, as published.
   */
  skipBoundaryBeforeEnd?: boolean;
}

/**
 * A batch of the distillation stages, on the host: n ids and P patches a row. Patch 0 is the row's begin symbol alone, patch p the bytes of
 * token p − 1; what is beyond P − 1 tokens is left out, so that teacher and student both have P positions.
 */
export interface ByteRows {
  batch: number;
  /** n. */
  length: number;
  /** P. */
  patches: number;
  /** (B*n) student ids, padded. */
  ids: Int32Array;
  /** (B) real ids of each row. */
  lengths: Int32Array;
  /** (B*n) the id at t + 1; −100 at padding and at each row's last id. */
  labels: Int32Array;
  /** (B*P) bytes of each patch, 0 for patches a row does not have. */
  patchLengths: Int32Array;
  /** (B*n) the patch of each id by true token ends; P at padding. */
  patchIds: Int32Array;
  /** (B*n) 1 where a patch should end. */
  boundaryLabels: Uint8Array;
  /** (B*P) what the teacher reads: the document end, then tokens; position p is student patch p. Empty patches hold the padding id. */
  teacherIds: Int32Array;
  /** (B*P) 1 where patch p exists. */
  patchMask: Uint8Array;
  /** The numbers of the student's ids. */
  student: StudentVocabulary;
}

/**
 * Rows of subword ids to rows of bytes that know their patches.
 * @param tokenRows token ids of each row, without begin symbol; a leading document end is dropped (the begin symbol is one).
 * @throws DataError, ConfigError
 * @source Bolmo, arXiv 2512.15586, section 3.2 and the published code.
 */
export function byteRows(tokenRows: readonly ArrayLike<number>[], options: ByteRowsOptions): ByteRows {
  const { vocabulary, student = BOLMO_VOCABULARY, skipBoundaryBeforeEnd = true } = options;
  if (!tokenRows.length) throw new DataError('[byteRows] no rows.');
  const rows = tokenRows.map((row) => Array.from(row)).map((row) => (row[0] === vocabulary.endId ? row.slice(1) : row));
  const patches = options.maxPatches ?? Math.max(...rows.map((r) => r.length));
  if (!(patches >= 1)) throw new DataError('[byteRows] rows without tokens.');
  const filled = rows.map((row) => fillRow(row.slice(0, patches - 1), vocabulary, student, options.maxBytes ?? Infinity));
  const { padBytesTo = 1 } = options;
  const length = options.maxBytes ?? Math.ceil(Math.max(...filled.map((r) => r.ids.length)) / padBytesTo) * padBytesTo;
  const B = rows.length;
  const out: ByteRows = {
    batch: B,
    length,
    patches,
    ids: new Int32Array(B * length).fill(student.pad),
    lengths: Int32Array.from(filled, (r) => r.ids.length),
    labels: new Int32Array(B * length).fill(-100),
    patchLengths: new Int32Array(B * patches),
    patchIds: new Int32Array(B * length).fill(patches),
    boundaryLabels: new Uint8Array(B * length),
    teacherIds: new Int32Array(B * patches).fill(vocabulary.padId ?? vocabulary.endId ?? 0),
    patchMask: new Uint8Array(B * patches),
    student,
  };
  const end = teacherStart(vocabulary);
  filled.forEach(({ ids, patchLengths }, b) => {
    out.ids.set(ids, b * length);
    out.labels.set(ids.slice(1), b * length);
    out.patchLengths.set(patchLengths, b * patches);
    out.teacherIds.set([end, ...rows[b]!.slice(0, patchLengths.length - 1)], b * patches);
    let t = 0;
    patchLengths.forEach((n, p) => {
      out.patchMask[b * patches + p] = 1;
      out.patchIds.fill(p, b * length + t, b * length + t + n);
      t += n;
      const beforeEnd = skipBoundaryBeforeEnd && p > 0 && ids[t] === student.eos;
      out.boundaryLabels[b * length + t - 1] = beforeEnd ? 0 : 1;
    });
  });
  return out;
}

/** One row: the begin symbol, then the bytes of every token that fits as a whole. */
function fillRow(tokens: readonly number[], vocabulary: SubwordVocabulary, student: StudentVocabulary, maxBytes: number): { ids: number[]; patchLengths: number[] } {
  const ids = [student.bos];
  const patchLengths = [1];
  for (const token of tokens) {
    const symbols = vocabulary.symbolsOf(token);
    if (ids.length + symbols.length > maxBytes) break;
    for (const s of symbols) ids.push(s === END_SYMBOL ? student.eos : s === PAD_SYMBOL ? student.pad : s + student.offset);
    patchLengths.push(symbols.length);
  }
  return { ids, patchLengths };
}

/** What the teacher reads in place of the begin symbol. */
function teacherStart({ endId, name }: SubwordVocabulary): number {
  if (endId === undefined) throw new ConfigError(`[byteRows] ${name} has no document-end token, which the teacher reads where the student reads its begin symbol. Hint: name it with the option \`end\` of SubwordVocabulary.`);
  return endId;
}

/**
 * Labels over both halves of the output: `labels[t] + numIds` where a patch ends at t + 1 (by `boundaryMask`), plain otherwise. The last id
 * of a row is never fused, since nobody knows what follows it.
 * @param boundaryMask (B*n) the boundaries that the forward pass used; default the labels'.
 */
export function fusedLabels({ batch, length, labels, boundaryLabels, student }: Pick<ByteRows, 'batch' | 'length' | 'labels' | 'boundaryLabels' | 'student'>, boundaryMask: ArrayLike<number> = boundaryLabels): Int32Array {
  const out = Int32Array.from(labels);
  for (let b = 0; b < batch; b++)
    for (let t = 0; t + 1 < length; t++) {
      const i = b * length + t;
      if (labels[i]! >= 0 && labels[i + 1]! >= 0 && boundaryMask[i + 1]) out[i]! += student.numIds;
    }
  return out;
}

/** (B*P) position of the last byte of each patch, −1 for patches a row does not have. */
export function patchEnds({ batch, patches, patchLengths }: Pick<ByteRows, 'batch' | 'patches' | 'patchLengths'>): Int32Array {
  const out = new Int32Array(batch * patches).fill(-1);
  for (let b = 0; b < batch; b++)
    for (let p = 0, end = 0; p < patches; p++) {
      const n = patchLengths[b * patches + p]!;
      if (n) out[b * patches + p] = (end += n) - 1;
    }
  return out;
}

/**
 * (B*P) which true patch the j-th boundary byte of a row ends, −1 beyond the last. Where a boundary was left out (before a document end), the
 * student has fewer patches than the teacher, and teacher rows are gathered by these indices.
 * @param boundaryMask (B*n) default the labels'.
 */
export function patchesAtBoundaries({ batch, length, patches, patchIds, boundaryLabels }: Pick<ByteRows, 'batch' | 'length' | 'patches' | 'patchIds' | 'boundaryLabels'>, boundaryMask: ArrayLike<number> = boundaryLabels): Int32Array {
  const out = new Int32Array(batch * patches).fill(-1);
  for (let b = 0; b < batch; b++)
    for (let t = 0, j = 0; t < length && j < patches; t++) {
      const i = b * length + t;
      if (boundaryMask[i] && patchIds[i]! < patches) out[b * patches + j++] = patchIds[i]!;
    }
  return out;
}

/** (B) patches that each row has, the begin symbol's included. */
export const patchCounts = ({ batch, patches, patchMask }: Pick<ByteRows, 'batch' | 'patches' | 'patchMask'>): number[] =>
  Array.from({ length: batch }, (_, b) => patchMask.subarray(b * patches, (b + 1) * patches).reduce((n, m) => n + m, 0));

/**
 * (B*n) 1 where what a teacher says about byte t + 1 holds for other boundaries, too: the patch of that byte began where the labels have it, and
 * both say the same about whether one ends with it.
 * @param boundaryMask (B*n) the boundaries that a forward pass used.
 */
export function cutAlike({ batch, length, lengths, boundaryLabels }: Pick<ByteRows, 'batch' | 'length' | 'lengths' | 'boundaryLabels'>, boundaryMask: ArrayLike<number>): Uint8Array {
  const out = new Uint8Array(batch * length);
  for (let b = 0; b < batch; b++) {
    let began = true;
    for (let t = 0; t + 1 < lengths[b]!; t++) {
      const i = b * length + t;
      const [own, label] = [Boolean(boundaryMask[i]), Boolean(boundaryLabels[i])];
      // Where only one of them cuts, the patches differ until both cut at once.
      if (own || label) began = own && label;
      const isLast = t + 2 === lengths[b]!;
      out[i] = began && (isLast || Boolean(boundaryMask[i + 1]) === Boolean(boundaryLabels[i + 1])) ? 1 : 0;
    }
  }
  return out;
}
