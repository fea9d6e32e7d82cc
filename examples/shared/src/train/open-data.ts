import { DataError } from '@bytelm/core';
import { openByteFiles, type BatchSource, type ByteStore, type TrainBatch } from '@bytelm/core/train';
import type { ByteRange } from '../cli/values.js';
import type { RunSettings } from './run-settings.js';

/** Of data without a held-out part of its own: at most this share, and at most so many bytes, from its end. */
const HELD_OUT_SHARE = 0.05;
const HELD_OUT_MOST = 262_144;

/** Ranges of bytes as they were resolved, for the log. */
export interface TextRanges {
  train: [number, number];
  valid: [number, number] | null;
}

/** What a run reads: batches, and the held-out bytes of its evaluations. */
export interface OpenBatches {
  batches: BatchSource;
  /** The first bytes of the held-out part, for evaluations on the way; empty when there are none. */
  valid: Uint8Array;
  ranges: TextRanges;
  /** Bytes that the targets of a batch stand for, where ids are not bytes (tokens). Losses and rates are then reported by bytes. */
  bytesOf?(batch: TrainBatch): number;
  close(): Promise<void>;
}

export interface OpenText extends Pick<OpenBatches, 'valid' | 'ranges'> {
  train: ByteStore;
}

/** Opens the text to train on, and reads the held-out bytes that evaluations use. @throws DataError for what is missing or does not fit. */
export async function openText(settings: RunSettings): Promise<OpenText> {
  const { data, validData, evalEvery } = settings;
  const size = await sizeOf(data);
  const range = resolveRange(settings.range, size, 'range');
  const wants = evalEvery > 0;
  let valid: [number, number] | null = null;
  if (wants && (settings.validRange || validData)) valid = resolveRange(settings.validRange, await sizeOf(validData ?? data), 'valid-range');
  else if (wants) {
    const held = Math.min(HELD_OUT_MOST, Math.floor((range[1] - range[0]) * HELD_OUT_SHARE));
    if (held > 0) {
      valid = [range[1] - held, range[1]];
      range[1] -= held;
    }
  }
  if (valid && !validData && valid[0] < range[1] && range[0] < valid[1]) {
    throw new DataError(`[train] held-out bytes ${valid.join(':')} overlap with the training bytes ${range.join(':')}. Hint: give --range and --valid-range that do not touch.`);
  }
  return {
    train: await openByteFiles(data, { range }),
    valid: valid ? await readBytes(validData ?? data, [valid[0], Math.min(valid[1], valid[0] + settings.evalBytes)]) : new Uint8Array(0),
    ranges: { train: range, valid },
  };
}

/** Bytes of a range of files into memory. A missing end is the end of the data. */
export async function readBytes(paths: readonly string[], range: ByteRange | null): Promise<Uint8Array> {
  const resolved = resolveRange(range, await sizeOf(paths), 'range');
  const store = await openByteFiles(paths, { range: resolved });
  try {
    const ids = new Int32Array(store.size);
    await store.read(0, store.size, ids, 0);
    return Uint8Array.from(ids);
  } finally {
    await store.close();
  }
}

async function sizeOf(paths: readonly string[]): Promise<number> {
  const store = await openByteFiles(paths);
  await store.close();
  return store.size;
}

function resolveRange(range: ByteRange | null, size: number, option: string): [number, number] {
  const [start, end] = range ?? [0, null];
  if (start >= size || (end !== null && end > size)) {
    throw new DataError(`[data] --${option} ${start}:${end ?? ''}: expected a part of the ${size} bytes there are. Hint: START:END counts bytes from 0.`);
  }
  return [start, end ?? size];
}
