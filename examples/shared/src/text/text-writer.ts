import { Utf8StreamDecoder } from '@bytelm/core';

/** Marks at a chunk's start, by how many stages start one there. */
const MARKS = ['│', '║', '┃'];

export interface TextWriterOptions {
  write: (text: string) => void;
  /** Put `│` where the outermost stage starts a chunk, `║` where the second does too, `┃` where the third does. */
  borders?: boolean;
  /** Show control characters as `\xHH`: for terminals, which would obey them. */
  escape?: boolean;
}

/**
 * Bytes in, text out as soon as it is certain: never half a character, and with borders never before it is known whether a chunk starts
 * at the byte. A border inside a character shows that character by its bytes.
 */
export class TextWriter {
  private readonly decoder = new Utf8StreamDecoder();
  /** Bytes whose chunk is not known yet, and those of an unfinished character. */
  private waiting: { byte: number; depth: number | undefined }[] = [];
  private marked = '';
  private character: { byte: number; depth: number }[] = [];

  constructor(private readonly options: TextWriterOptions) {}

  /** @param depth How many stages start a chunk at this byte; `undefined`: `settle` will say. */
  push(byte: number, depth: number | undefined): void {
    this.waiting.push({ byte, depth });
    this.drain();
  }

  /** Says the depth of the oldest byte that has none. */
  settle(depth: number): void {
    const open = this.waiting.find((w) => w.depth === undefined);
    if (open) open.depth = depth;
    this.drain();
  }

  /** Writes what is left; bytes without a known chunk get no mark. */
  end(): void {
    for (const w of this.waiting) w.depth ??= 0;
    this.drain();
    const rest = this.decoder.flush();
    if (rest) this.emit(rest);
  }

  private drain(): void {
    const { borders } = this.options;
    while (this.waiting.length && (!borders || this.waiting[0]!.depth !== undefined)) {
      const { byte, depth = 0 } = this.waiting.shift()!;
      this.character.push({ byte, depth: borders ? depth : 0 });
      const text = this.decoder.push(byte);
      if (text) this.emit(text);
    }
  }

  /** `text` is the character that `this.character` spells, or replacement characters for broken ones. */
  private emit(text: string): void {
    const bytes = this.character;
    this.character = [];
    const inside = bytes.some(({ depth }, i) => i > 0 && depth > 0);
    const mark = (depth: number) => (depth ? MARKS[Math.min(depth, MARKS.length) - 1]! : '');
    if (inside) this.marked += bytes.map(({ byte, depth }) => `${mark(depth)}\\x${hex(byte)}`).join('');
    else this.marked += mark(bytes[0]?.depth ?? 0) + (this.options.escape ? escaped(text) : text);
    this.options.write(this.marked);
    this.marked = '';
  }
}

const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0');

/** Control characters but newline and tab, C1 ones included, in visible form. */
// eslint-disable-next-line no-control-regex
export const escaped = (text: string): string => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (c) => `\\x${hex(c.charCodeAt(0))}`);
