import { CheckpointError, ConfigError } from '@bytelm/core';
import type { HostTensor, TensorSource } from '@bytelm/core/io';

export interface TaskArithmeticOptions {
  /** The model that the student was made from. */
  base: TensorSource;
  /** The same model after more training (instructions, reinforcement). */
  tuned: TensorSource;
  /** The byteified model. */
  student: TensorSource;
  /** How much of the difference is added. Default 1. */
  alpha?: number;
  /**
   * Also adds the difference of the embedding tables to the student's table of subwords, over as many rows as that has: names in
   * `base` and in `student`.
   */
  embeddings?: { base: string; student: string };
}

/** The embedding tables of OLMo and Bolmo, for the option `embeddings`. */
export const BOLMO_EMBEDDINGS = { base: 'model.embed_tokens.weight', student: 'model.local_encoder.subword_embedding.weight' } as const;

export interface MergeChange {
  name: string;
  /** Root mean square of what was added. */
  change: number;
  /** The same as a share of the student's own root mean square. */
  relative: number;
}

export interface MergeReport {
  /** Tensors that were changed, in the student's order. */
  changed: MergeChange[];
  /** In both models, but of another shape in the student: left as they are. */
  skipped: { name: string; base: readonly number[]; student: readonly number[] }[];
  /** Of the student alone. */
  untouched: string[];
  /** Of the source model alone, e.g. what byteification replaced. */
  unused: string[];
}

/**
 * Post-training without training: `student += alpha · (tuned − base)` for every tensor that the student shares with the source model by name
 * and shape, i.e. the layers of its main network and the final norm.
 *
 * @returns every tensor of the student, changed or not, and a report of which is which.
 * @throws CheckpointError naming tensor and files when `base` and `tuned` do not have the same tensors; ConfigError when nothing would change.
 * @source Bolmo, arXiv 2512.15586, section 5.2.
 * @example
 * const { state, report } = await taskArithmetic({ base, tuned, student, alpha: 1 });
 * await saveSafetensors(state, 'merged.safetensors');
 */
export async function taskArithmetic(options: TaskArithmeticOptions): Promise<{ state: Map<string, HostTensor>; report: MergeReport }> {
  const state = new Map<string, HostTensor>();
  const report = await mergeTensors(options, (name, tensor) => void state.set(name, tensor));
  return { state, report };
}

/**
 * The same with one tensor in memory at a time.
 * @param onTensor gets every tensor of the student, changed or not.
 */
export async function mergeTensors({ base, tuned, student, alpha = 1, embeddings }: TaskArithmeticOptions, onTensor: (name: string, tensor: HostTensor) => void | Promise<void>): Promise<MergeReport> {
  checkSources(base, tuned);
  const report: MergeReport = { changed: [], skipped: [], untouched: [], unused: [] };
  const used = new Set<string>();
  for (const name of student.names) {
    const isTable = embeddings?.student === name;
    const source = isTable ? embeddings.base : name;
    const tensor = await student.read(name);
    if (!base.has(source)) {
      if (isTable) throw new CheckpointError(`[taskArithmetic] ${base.name} has no tensor ${source}, the embedding table to add to ${name}.`);
      report.untouched.push(name);
    } else {
      used.add(source);
      const shape = base.info(source).shape;
      if (isTable ? fitsRows(shape, tensor.shape) : shape.join() === tensor.shape.join()) {
        report.changed.push(addDifference(name, tensor, await base.read(source), await tuned.read(source), alpha));
      } else report.skipped.push({ name, base: shape, student: tensor.shape });
    }
    await onTensor(name, tensor);
  }
  report.unused = base.names.filter((n) => !used.has(n));
  if (!report.changed.length) throw new ConfigError(`[taskArithmetic] ${student.name} shares no tensor with ${base.name}. Hint: is the student made from this model?`);
  return report;
}

/** The student's table may have fewer rows: the source's is padded. */
const fitsRows = (source: readonly number[], table: readonly number[]): boolean =>
  source.length === 2 && table.length === 2 && source[1] === table[1] && source[0]! >= table[0]!;

function addDifference(name: string, { values, dtype }: HostTensor, base: HostTensor, tuned: HostTensor, alpha: number): MergeChange {
  if (dtype !== 'float32') throw new CheckpointError(`[taskArithmetic] ${name}: expected a tensor of floats, got ${dtype}.`);
  let [before, added] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const difference = alpha * (tuned.values[i]! - base.values[i]!);
    before += values[i]! ** 2;
    added += difference ** 2;
    values[i]! += difference;
  }
  const n = Math.max(1, values.length);
  return { name, change: Math.sqrt(added / n), relative: before > 0 ? Math.sqrt(added / before) : 0 };
}

function checkSources(base: TensorSource, tuned: TensorSource): void {
  const problems = [
    ...base.names.filter((n) => !tuned.has(n)).map((n) => `${n} is not in ${tuned.name}`),
    ...tuned.names.filter((n) => !base.has(n)).map((n) => `${n} is not in ${base.name}`),
    ...base.names.flatMap((n) => {
      if (!tuned.has(n)) return [];
      const [a, b] = [base.info(n).shape, tuned.info(n).shape];
      return a.join() === b.join() ? [] : [`${n} is (${a.join(', ')}) in ${base.name} and (${b.join(', ')}) in ${tuned.name}`];
    }),
  ];
  if (!problems.length) return;
  const some = problems.slice(0, 5).join('; ');
  throw new CheckpointError(`[taskArithmetic] the source model and the tuned one differ in ${problems.length} tensor${problems.length === 1 ? '' : 's'}: ${some}${problems.length > 5 ? '; …' : ''}. Hint: both must be checkpoints of one model; re-tied or re-sized vocabularies cannot be subtracted.`);
}
