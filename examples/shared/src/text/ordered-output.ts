import { TextWriter } from './text-writer.js';

/** Several texts that grow at once, on one stream in order: the first that is not finished is shown live, later ones wait. */
export class OrderedOutput {
  private readonly writers: TextWriter[];
  private readonly held: string[];
  private readonly ended: boolean[];
  private shown = 0;

  constructor(rows: number, borders: boolean) {
    this.held = Array.from({ length: rows }, (_, r) => (rows > 1 ? `[${r + 1}] ` : ''));
    this.ended = Array<boolean>(rows).fill(false);
    this.writers = this.held.map((_, r) => new TextWriter({ borders, escape: Boolean(process.stdout.isTTY), write: (text) => this.write(r, text) }));
    this.flush();
  }

  push(row: number, byte: number, depth: number | undefined): void {
    this.writers[row]!.push(byte, depth);
  }

  settle(row: number, depth: number): void {
    this.writers[row]!.settle(depth);
  }

  end(row: number): void {
    this.writers[row]!.end();
    this.write(row, '\n');
    this.ended[row] = true;
    while (this.ended[this.shown]) {
      this.shown++;
      this.flush();
    }
  }

  private write(row: number, text: string): void {
    if (row === this.shown) process.stdout.write(text);
    else this.held[row]! += text;
  }

  private flush(): void {
    if (this.held[this.shown]) process.stdout.write(this.held[this.shown]!);
    this.held[this.shown] = '';
  }
}
