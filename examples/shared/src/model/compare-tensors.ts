import { CheckpointError } from '@bytelm/core';
import type { TensorSource } from '@bytelm/core/io';
import { count } from '../cli/format.js';

/** What a checkpoint holds, and where it differs from what a model asks for. */
export interface CheckpointReport {
  file: string;
  tensors: number;
  values: number;
  dtypes: Record<string, number>;
  metadata: Record<string, string>;
  missing: string[];
  unexpected: string[];
  wrongShape: { name: string; file: number[]; model: number[] }[];
}

/**
 * Compares the names and shapes of a checkpoint with those that are wanted; values are not read.
 * @param optional Names that may be missing, such as the second name of a tied tensor.
 */
export function compareTensors(source: TensorSource, wanted: ReadonlyMap<string, readonly number[]>, optional: (name: string) => boolean = () => false): CheckpointReport {
  const dtypes: Record<string, number> = {};
  let values = 0;
  for (const name of source.names) {
    const { dtype, shape } = source.info(name);
    dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
    values += shape.reduce((a, b) => a * b, 1);
  }
  return {
    file: source.name,
    tensors: source.names.length,
    values,
    dtypes,
    metadata: { ...source.metadata },
    missing: [...wanted.keys()].filter((n) => !source.has(n) && !optional(n)),
    unexpected: source.names.filter((n) => !wanted.has(n)),
    wrongShape: [...wanted].flatMap(([name, shape]) => {
      const model = [...shape];
      const file = source.has(name) ? [...source.info(name).shape] : model;
      return file.join() === model.join() ? [] : [{ name, file, model }];
    }),
  };
}

/** The error of a report with differences. */
export function checkCheckpoint({ missing, unexpected, wrongShape, file }: CheckpointReport): CheckpointError | undefined {
  if (!(missing.length + unexpected.length + wrongShape.length)) return undefined;
  return new CheckpointError(`[inspect] ${file}: ${missing.length} missing, ${unexpected.length} unexpected, ${wrongShape.length} wrong shape. Hint: the configuration belongs to another file.`);
}

/** A report for people, line by line. */
export function checkpointText(c: CheckpointReport): string[] {
  const kinds = Object.entries(c.dtypes).map(([dtype, n]) => `${n} ${dtype}`);
  const metadata = Object.entries(c.metadata).map(([k, v]) => `${k}=${v}`);
  return [
    `weights: ${c.file}: ${c.tensors} tensors (${kinds.join(', ')}), ${count(c.values)} values${metadata.length ? `, ${metadata.join(', ')}` : ''}`,
    ...c.missing.map((n) => `  missing: ${n}`),
    ...c.unexpected.map((n) => `  unexpected: ${n}`),
    ...c.wrongShape.map((w) => `  wrong shape: ${w.name} file (${w.file.join(', ')}) vs model (${w.model.join(', ')})`),
  ];
}
