import { disposeState, SequenceContext } from '@bytelm/core';
import type { BpePatcher } from '../patchers/bpe-patcher.js';
import type { RulePatcher } from '../patchers/patcher.js';
import type { CorpusPiece } from './corpus-pieces.js';
import { ENDS } from './shard-format.js';

export interface LaneOptions {
  bos: number | null;
  eos: number | null;
  /** id = byte + offset. */
  offset: number;
  /** Rows side by side. */
  batch: number;
  /** Ids of a row at a time. */
  pieceLength: number;
  signal?: AbortSignal | undefined;
  /** Bytes worked on since the last call. */
  onBytes(count: number): void;
}

/** What became of one piece. */
export interface PatchedPiece {
  piece: CorpusPiece;
  boundaries: Uint8Array;
  entropies: Float32Array;
  chunks: number;
  ids: number;
}

/** What a lane says about each id it gives. */
interface LaneRow {
  ids: Int32Array;
  /** Which byte of the piece it is; −1: none, a begin or end id. */
  bytes: Int32Array;
  /** The number of its document. */
  documents: Int32Array;
  /** 1 for the last id of a document. */
  lasts: Uint8Array;
}

const laneRow = (length: number): LaneRow => ({ ids: new Int32Array(length), bytes: new Int32Array(length), documents: new Int32Array(length), lasts: new Uint8Array(length) });

/** Walks the documents of one piece: begin id, bytes, end id, one document after the other. */
export class Lane {
  readonly result: PatchedPiece;
  private document = 0;
  private at = 0;

  constructor(
    readonly piece: CorpusPiece,
    private readonly options: Pick<LaneOptions, 'bos' | 'eos' | 'offset'>,
  ) {
    const n = piece.end - piece.start;
    this.result = { piece, boundaries: new Uint8Array(n), entropies: new Float32Array(n), chunks: 0, ids: 0 };
  }

  get isDone(): boolean {
    return this.document * 3 >= this.piece.documents.length;
  }

  /** Does the next id begin a document? */
  get atStart(): boolean {
    return this.at === 0;
  }

  /** Up to `count` ids, of `documentsAtMost` documents. @returns how many. */
  read(count: number, { ids, bytes, documents, lasts }: LaneRow, documentsAtMost = Infinity): number {
    const { bos, eos, offset } = this.options;
    const list = this.piece.documents;
    let n = 0;
    for (const end = this.document + documentsAtMost; n < count && !this.isDone && this.document < end; ) {
      const [start, stop, flags] = list.subarray(this.document * 3, this.document * 3 + 3) as unknown as [number, number, number];
      const lead = bos === null ? 0 : 1;
      const total = lead + (stop - start) + (eos !== null && flags & ENDS ? 1 : 0);
      for (; n < count && this.at < total; n++, this.at++) {
        const byte = start + this.at - lead;
        const isByte = byte >= start && byte < stop;
        ids[n] = isByte ? this.piece.bytes[byte]! + offset : this.at < lead ? bos! : eos!;
        bytes[n] = isByte ? byte : -1;
        documents[n] = this.document;
        lasts[n] = this.at === total - 1 ? 1 : 0;
      }
      if (this.at === total) {
        this.document++;
        this.at = 0;
      }
    }
    return n;
  }

  /** Takes what was decided about the ids of the last `read`. A document's last id always ends its patch. @returns bytes among them. */
  write(count: number, { bytes, lasts }: LaneRow, mask: Uint8Array, entropies?: Float32Array): number {
    let real = 0;
    for (let i = 0; i < count; i++) {
      const boundary = lasts[i]! | mask[i]!;
      this.result.chunks += boundary;
      const byte = bytes[i]!;
      if (byte < 0) continue;
      real++;
      this.result.boundaries[byte] = boundary;
      if (entropies) this.result.entropies[byte] = entropies[i]!;
    }
    this.result.ids += count;
    return real;
  }
}

/** Patches pieces, several side by side on one state; gives each one as soon as it is done. Memory does not grow with their number. */
export async function* patchSideBySide(patcher: RulePatcher<any>, pieces: AsyncIterator<CorpusPiece>, options: LaneOptions): AsyncGenerator<PatchedPiece> {
  const lanes: (Lane | undefined)[] = [];
  const next = async () => {
    const { value, done } = await pieces.next();
    return done ? undefined : new Lane(value, options);
  };
  for (let lane = await next(); lane; lane = lanes.length < options.batch ? await next() : undefined) lanes.push(lane);
  const B = lanes.length;
  if (!B) return;
  const P = options.pieceLength;
  const rows = lanes.map(() => laneRow(P));
  let state = patcher.initState(B);
  try {
    while (lanes.some((lane) => lane)) {
      options.signal?.throwIfAborted();
      const fresh = lanes.flatMap((lane, b) => (lane?.atStart ? [b] : []));
      if (fresh.length) state = patcher.startDocument(state, fresh);
      const lengths = lanes.map((lane, b) => (lane ? lane.read(P, rows[b]!) : 0));
      const L = Math.max(1, ...lengths);
      const join = (of: (row: LaneRow) => Int32Array) => {
        const all = new Int32Array(B * L);
        rows.forEach((row, b) => all.set(of(row).subarray(0, lengths[b]), b * L));
        return all;
      };
      const ctx = new SequenceContext(B, L, { ids: join((row) => row.ids), ...documentsOf(join((row) => row.documents), lengths, L) });
      const out = await patcher.prefill(undefined, state, ctx);
      state = out.state;
      let worked = 0;
      for (const [b, lane] of lanes.entries()) {
        if (!lane) continue;
        const mask = out.segmentation.boundaryMask.subarray(b * L, (b + 1) * L);
        worked += lane.write(lengths[b]!, rows[b]!, mask, out.values?.subarray(b * L, (b + 1) * L));
      }
      ctx.dispose();
      out.segmentation.dispose();
      options.onBytes(worked);
      for (const [b, lane] of lanes.entries()) {
        if (!lane?.isDone) continue;
        yield lane.result;
        lanes[b] = await next();
      }
    }
  } finally {
    disposeState(state);
  }
}

/** Padding continues the last document. What says nothing is left out: models have a faster path without it. */
function documentsOf(documentIds: Int32Array, lengths: readonly number[], L: number): { documentIds?: Int32Array; lengths?: readonly number[] } {
  lengths.forEach((n, b) => documentIds.fill(n ? documentIds[b * L + n - 1]! : 0, b * L + n, (b + 1) * L));
  const several = lengths.some((_, b) => documentIds[b * L] !== documentIds[(b + 1) * L - 1]);
  return { ...(several && { documentIds }), ...(lengths.some((n) => n !== L) && { lengths }) };
}

/** The same for patchers that need whole documents. */
export async function* patchOneByOne(patcher: BpePatcher, pieces: AsyncIterator<CorpusPiece>, options: LaneOptions): AsyncGenerator<PatchedPiece> {
  for (let { value, done } = await pieces.next(); !done; { value, done } = await pieces.next()) {
    const piece = value as CorpusPiece;
    const lane = new Lane(piece, options);
    for (let d = 0; d < piece.documents.length; d += 3) {
      options.signal?.throwIfAborted();
      const n = piece.documents[d + 1]! - piece.documents[d]! + 2;
      const row = laneRow(n);
      const length = lane.read(n, row, 1);
      options.onBytes(lane.write(length, row, patcher.boundaries(row.ids.subarray(0, length))));
    }
    yield lane.result;
  }
}
