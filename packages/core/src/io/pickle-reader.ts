import { CheckpointError } from '../errors.js';

/** Reads the arguments of pickle opcodes, never beyond the end. */
export class PickleReader {
  private at = 0;
  private readonly view: DataView;

  constructor(
    private readonly data: Uint8Array,
    private readonly where: string,
  ) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  fail(what: string): never {
    throw new CheckpointError(`[pickle] ${this.where}: ${what} (before byte ${this.at} of ${this.data.length}). Hint: the file is truncated or damaged; download or write it again.`);
  }

  private take(count: number): number {
    if (!(count >= 0 && this.at + count <= this.data.length)) this.fail(`${count} bytes are expected, it ends`);
    this.at += count;
    return this.at - count;
  }

  uint8 = (): number => this.view.getUint8(this.take(1));
  uint16 = (): number => this.view.getUint16(this.take(2), true);
  uint32 = (): number => this.view.getUint32(this.take(4), true);
  int32 = (): number => this.view.getInt32(this.take(4), true);
  uint64 = (): number => Number(this.view.getBigUint64(this.take(8), true));
  /** Frames only say how far ahead a stream may be read. */
  frame = (): void => void this.uint64();
  float64 = (): number => this.view.getFloat64(this.take(8), false);

  /** Little-endian two's complement of any width: a number where it is exact, else a bigint. */
  long(count: number): number | bigint {
    const start = this.take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.data[start + i]!);
    if (count) value = BigInt.asIntN(8 * count, value);
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }

  bytes(count: number): Uint8Array {
    const start = this.take(count);
    return this.data.slice(start, start + count);
  }

  /** UTF-8; lone surrogates, which Python allows, become replacement characters. */
  text(count: number): string {
    const start = this.take(count);
    return new TextDecoder().decode(this.data.subarray(start, start + count));
  }

  latin1(count: number): string {
    return Array.from(this.bytes(count), (b) => String.fromCharCode(b)).join('');
  }

  /** Up to a newline, which is not part of it. */
  line(): string {
    const end = this.data.indexOf(10, this.at);
    if (end < 0) this.fail('a name without an end');
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }
}
