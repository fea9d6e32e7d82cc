import { ConfigError, Segmentation, type ByteVocabulary, type Chunker, type SequenceContext } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { documentStarts } from './documents.js';
import { byteOf, checkWhole, resolveVocabulary, type PatcherOptions } from './patcher.js';
import type { SubwordTokenizer } from './subword-tokenizer.js';
import { utf8Runs } from './utf8-runs.js';

export interface BpePatcherOptions extends PatcherOptions {
  /** From `openSubwordTokenizer`. */
  tokenizer: SubwordTokenizer;
}

/**
 * Patches are the pieces of a subword tokenizer; special ids and bytes that are not UTF-8 are patches of their own.
 *
 * Where a piece ends depends on text that comes later, so this patcher cannot decide byte by byte: `segment` and files only. What decoding
 * needs is a stream that says itself where pieces begin: `withDelimiters` and a `DelimiterPatcher`. `BpeStream` gives the boundaries of a
 * text that arrives in parts as soon as they are certain.
 *
 * @source BLT, arXiv 2412.09871, section 2.1 and blt.md 2.4.
 * @example
 * const patcher = new BpePatcher({ tokenizer: await openSubwordTokenizer('tokenizer.json') });
 */
export class BpePatcher implements Chunker<null> {
  readonly reads = 'ids';
  readonly lookahead = Infinity;
  readonly vocabulary: ByteVocabulary;
  readonly maxChunkLength: number | undefined;
  readonly documentEnds: ReadonlySet<number>;
  readonly tokenizer: SubwordTokenizer;
  private readonly padTo: number;

  constructor(options: BpePatcherOptions) {
    this.tokenizer = options.tokenizer;
    this.vocabulary = resolveVocabulary('BpePatcher', options.vocabulary);
    this.maxChunkLength = options.maxChunkLength ?? undefined;
    this.documentEnds = new Set(options.documentEnds);
    this.padTo = options.padTo ?? 1;
    if (this.maxChunkLength !== undefined) checkWhole('BpePatcher', 'maxChunkLength', this.maxChunkLength);
    checkWhole('BpePatcher', 'padTo', this.padTo);
  }

  /** As for the other patchers. */
  describe(): Record<string, unknown> {
    return { patcher: 'BpePatcher', vocabulary: this.vocabulary, maxChunkLength: this.maxChunkLength ?? null, documentEnds: [...this.documentEnds], tokenizer: this.tokenizer.fingerprint };
  }

  segment(_hidden: tf.Tensor3D | undefined, ctx: SequenceContext): Segmentation {
    const { batch, length } = ctx;
    const starts = documentStarts(ctx, this.documentEnds, 'BpePatcher');
    const mask = new Uint8Array(batch * length);
    for (let b = 0; b < batch; b++) {
      const end = b * length + (ctx.lengths?.[b] ?? length);
      for (let from = b * length; from < end; ) {
        let to = from + 1;
        while (to < end && !starts[to]) to++;
        mask.set(this.boundaries(ctx.ids!.subarray(from, to)), from);
        from = to;
      }
      if (length > 0) mask[b * length] = 1;
    }
    return new Segmentation(batch, length, mask, { drawnAt: 'end', padTo: this.padTo });
  }

  /** One document: 1 where a patch ends. */
  boundaries(ids: Int32Array): Uint8Array {
    const mask = this.pieces(ids);
    if (ids.length) mask[0] = 1;
    this.limit(mask, 0);
    return mask;
  }

  /** 1 where a piece, a special id or a byte that is not UTF-8 ends. @internal */
  pieces(ids: Int32Array): Uint8Array {
    const mask = new Uint8Array(ids.length);
    for (let from = 0; from < ids.length; ) {
      let to = from;
      while (to < ids.length && byteOf(ids[to]!, this.vocabulary) >= 0) to++;
      for (const last of this.lastBytes(ids.subarray(from, to))) mask[from + last] = 1;
      if (to < ids.length) mask[to++] = 1;
      from = to;
    }
    return mask;
  }

  /** Ends patches of `maxChunkLength` ids; `open` ids are in the first one already. @returns ids in the last one. @internal */
  limit(mask: Uint8Array, open: number): number {
    for (let t = 0; t < mask.length; t++) {
      if (++open === this.maxChunkLength) mask[t] = 1;
      if (mask[t]) open = 0;
    }
    return open;
  }

  /** The same text with an id in front of every piece, for a `DelimiterPatcher`. */
  withDelimiters(ids: Int32Array, delimiter = 3): Int32Array {
    const ends = this.boundaries(ids);
    const out: number[] = [];
    ids.forEach((id, t) => {
      const isByte = byteOf(id, this.vocabulary) >= 0;
      const begins = t === 0 || ends[t - 1] === 1;
      if (isByte && begins && t > 0) out.push(delimiter);
      out.push(id);
    });
    return Int32Array.from(out);
  }

  initState(): null {
    return null;
  }

  prefill(): never {
    throw notIncremental('prefill');
  }

  step(): never {
    throw notIncremental('step');
  }

  /** Positions at which pieces of plain bytes end. */
  private lastBytes(ids: Int32Array): number[] {
    const last: number[] = [];
    const { offset } = this.vocabulary;
    for (const { start, end, text } of utf8Runs(Uint8Array.from(ids, (id) => id - offset))) {
      let at = start;
      for (const n of text === undefined ? [end - start] : this.tokenizer.pieceLengths(text)) last.push((at += n) - 1);
    }
    return last;
  }
}

const notIncremental = (where: string): ConfigError =>
  new ConfigError(
    `[BpePatcher.${where}] expected a patcher that decides byte by byte; where a BPE piece ends depends on text that comes later. ` +
      'Hint: `segment` whole texts, or decode with a DelimiterPatcher on streams of `withDelimiters`.',
  );
