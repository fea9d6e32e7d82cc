import { Utf8StreamDecoder } from '@bytelm/core';

/** Text that grows byte by byte, in boxes that close where chunks do. A border inside a character stands behind that character. */
export class ChunkText {
  private decoder = new Utf8StreamDecoder();
  private box: HTMLElement;
  /** For each byte of the generated text: the box it is in. */
  private readonly boxes: HTMLElement[] = [];

  constructor(private readonly place: HTMLElement) {
    place.replaceChildren();
    this.box = this.newBox();
  }

  /** Bytes that were given, with the indices at which a chunk starts. */
  prompt(bytes: readonly number[], starts: readonly number[]): void {
    const isStart = new Set(starts);
    bytes.forEach((byte, i) => {
      if (i && isStart.has(i)) this.box = this.newBox();
      this.box.classList.add('given');
      this.write(byte);
    });
    this.box = this.newBox();
  }

  push(byte: number): void {
    this.boxes.push(this.box);
    this.write(byte);
  }

  /** A chunk starts at the byte of this index (then it moves into a box of its own), or behind it. */
  boundary(index: number, at: 'start' | 'end'): void {
    if (at === 'end') {
      if (index === this.boxes.length - 1) this.box = this.newBox();
      return;
    }
    const old = this.boxes[index];
    if (!old || index !== this.boxes.length - 1 || !old.lastChild) return;
    const moved = old.lastChild;
    if (old.childNodes.length === 1) return;
    this.box = this.newBox();
    this.box.append(moved);
    this.boxes[index] = this.box;
  }

  end(): void {
    this.box.append(this.decoder.flush());
    this.place.querySelector('.open')?.classList.remove('open');
    Array.from(this.place.querySelectorAll('.chunk:empty')).forEach((box) => box.remove());
  }

  private write(byte: number): void {
    const text = this.decoder.push(byte);
    if (text) this.box.append(document.createTextNode(text));
  }

  private newBox(): HTMLElement {
    this.box?.classList.remove('open');
    const box = document.createElement('span');
    box.className = 'chunk open';
    this.place.append(box);
    return box;
  }
}
