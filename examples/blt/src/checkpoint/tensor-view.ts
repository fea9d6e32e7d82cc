import { CheckpointError } from '@bytelm/core';
import type { HostTensor, RawTensor, ReadOptions, TensorInfo, TensorSource } from '@bytelm/core/io';

/** A checkpoint under other names. Reads go to the file, which `close` leaves open: whoever opened it closes it. */
export class TensorView implements TensorSource {
  readonly name: string;
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly readRows?: (name: string, first: number, count: number) => Promise<Uint8Array>;
  readonly readRowsSync?: (name: string, first: number, count: number) => Uint8Array;

  /** @param stored name here → name in the source. */
  constructor(
    private readonly source: TensorSource,
    private readonly stored: ReadonlyMap<string, string>,
  ) {
    this.name = source.name;
    this.names = [...stored.keys()];
    this.metadata = source.metadata;
    const { readRows, readRowsSync } = source;
    if (readRows) this.readRows = (name, first, count) => readRows.call(source, this.nameInSource(name), first, count);
    if (readRowsSync) this.readRowsSync = (name, first, count) => readRowsSync.call(source, this.nameInSource(name), first, count);
  }

  has(name: string): boolean {
    return this.stored.has(name);
  }

  /** @throws CheckpointError when there is no such tensor. */
  nameInSource(name: string): string {
    const stored = this.stored.get(name);
    if (stored === undefined) throw new CheckpointError(`[read] ${this.name}: there is no tensor ${name}. Hint: list \`names\` to see what it has.`);
    return stored;
  }

  info(name: string): TensorInfo {
    return this.source.info(this.nameInSource(name));
  }

  read(name: string): Promise<HostTensor>;
  read(name: string, options: ReadOptions): Promise<HostTensor | RawTensor>;
  async read(name: string, options: ReadOptions = {}): Promise<HostTensor | RawTensor> {
    return this.source.read(this.nameInSource(name), options);
  }

  async close(): Promise<void> {}
}
