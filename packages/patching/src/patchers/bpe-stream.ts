import { byteOf } from './patcher.js';
import type { BpePatcher } from './bpe-patcher.js';

/**
 * The boundaries of a `BpePatcher` for one document that arrives in parts: equal to those of the whole text, given as soon as they are certain.
 * With byte-level tokenizers that is one word later; with others, whose pieces may cross spaces, only at the end.
 *
 * @example
 * const stream = new BpeStream(patcher);
 * for await (const ids of parts) use(stream.push(ids)); // boundaries of ids pushed earlier, in their order
 * use(stream.end());
 */
export class BpeStream {
  private pending: number[] = [];
  private atStart = true;
  /** Ids in the open patch. */
  private open = 0;

  constructor(private readonly patcher: BpePatcher) {}

  /** @returns 1 or 0 for the next ids that are certain now. */
  push(ids: ArrayLike<number>): Uint8Array {
    const from = this.pending.length;
    for (let i = 0; i < ids.length; i++) this.pending.push(ids[i]!);
    if (!this.patcher.tokenizer.bordersAtSpaces) return new Uint8Array();
    // The last place where a text can be cut without changing its pieces.
    let cut = 0;
    for (let i = Math.max(1, from); i < this.pending.length; i++) if (this.isBorder(i)) cut = i;
    return this.take(cut);
  }

  /** Boundaries of everything that is left; the next id begins a new document. */
  end(): Uint8Array {
    const rest = this.take(this.pending.length);
    this.atStart = true;
    this.open = 0;
    return rest;
  }

  /** A space behind something that is no white space: behind a letter, say, but not behind a part of a character. */
  private isBorder(i: number): boolean {
    const { vocabulary } = this.patcher;
    const [before, at] = [byteOf(this.pending[i - 1]!, vocabulary), byteOf(this.pending[i]!, vocabulary)];
    return at === 0x20 && before > 0x20 && before < 0x7f;
  }

  private take(count: number): Uint8Array {
    if (!count) return new Uint8Array();
    const mask = this.patcher.pieces(Int32Array.from(this.pending.splice(0, count)));
    if (this.atStart) mask[0] = 1;
    this.atStart = false;
    this.open = this.patcher.limit(mask, this.open);
    return mask;
  }
}
