import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CheckpointError, ConfigError, DataError } from '@bytelm/core';
import { openCheckpoint, saveSafetensors, writeFileAtomic, type HostTensor, type StreamedTensor, type TensorSource } from '@bytelm/core/io';
import { BOLMO_EMBEDDINGS, mergeTensors, type MergeReport } from '@bytelm/distill';
import { openSource } from '@bytelm/example-olmo';
import { saveConfigFiles } from './byteify/save-student.js';
import { findBolmo, tokenizerFolder } from './source.js';

export interface MergeFolders {
  /** The byteified model, the model it was made of, and that one after more training: folders or Hugging Face ids. */
  model: string;
  base: string;
  tuned: string;
  out: string;
  /** How much of the difference is added. Default 1. */
  alpha?: number;
  /** Add the difference of the embedding tables to the table of subwords as well. Default false, as published. */
  embeddings?: boolean;
}

/** Tensors that both models have under one name and in shapes that cannot agree: one says bytes, the other tokens. */
const OF_VOCABULARIES = new Set(['lm_head.weight']);

/**
 * What more training did to a source model, added to the byte model that was made of it, without training. Writes a whole model folder and
 * `merge.json`; one tensor is in memory at a time.
 *
 * @throws CheckpointError naming tensor and files when models do not have the same tensors in the same shapes.
 * @source Bolmo, arXiv 2512.15586, section 5.2.
 */
export async function mergeFolders({ model, base, tuned, out, alpha = 1, embeddings = false }: MergeFolders): Promise<MergeReport> {
  if (!Number.isFinite(alpha)) throw new ConfigError(`[merge] alpha: expected a number, got ${alpha}.`);
  const found = await findBolmo(model);
  if (!found.weights) throw new ConfigError(`[merge] ${model}: expected a byteified model with weights, got a preset. Hint: byteify makes one.`);
  if (existsSync(join(out, 'model.safetensors'))) throw new DataError(`[merge] ${out}: it already holds a model. Hint: another --out.`);
  const open: TensorSource[] = [];
  const opened = async (source: Promise<TensorSource>) => (open.push(await source), open.at(-1)!);
  try {
    const student = await opened(found.weights.open());
    const [from, to] = [await opened(openWeights(base)), await opened(openWeights(tuned))];
    checkShapes(student, from);
    mkdirSync(out, { recursive: true });
    const feed = new Feed();
    const merging = mergeTensors({ base: from, tuned: to, student, alpha, ...(embeddings && { embeddings: BOLMO_EMBEDDINGS }) }, (name, tensor) => feed.give(name, tensor));
    merging.catch((e: unknown) => feed.fail(e));
    const tensors = new Map(student.names.map((name) => [name, streamed(student.info(name).shape, () => feed.take(name))]));
    const metadata = { format: 'pt', merged: `${alpha} (${tuned} - ${base})` };
    const [report] = await Promise.all([merging, saveSafetensors(tensors, join(out, 'model.safetensors'), metadata)]);
    await saveConfigFiles(out, found.config.raw, found.config.subwordVocabSize ? await tokenizerFolder(found) : resolve(out));
    await writeFileAtomic(join(out, 'merge.json'), `${JSON.stringify({ model, base, tuned, alpha, embeddings, ...report }, null, 1)}\n`);
    return report;
  } finally {
    for (const source of open) await source.close();
  }
}

/** A folder's or a file's tensors; a repository's go through the same checks as a teacher's. */
const openWeights = async (name: string): Promise<TensorSource> => (/\.(safetensors|pt|bin)$/.test(name) ? openCheckpoint(name) : (await openSource(name)).files.tensors);

/** A layer of another shape would be left as it is, and the merge be half of one. */
function checkShapes(student: TensorSource, base: TensorSource): void {
  const wrong = student.names.flatMap((name) => {
    if (!base.has(name) || OF_VOCABULARIES.has(name)) return [];
    const [own, other] = [student.info(name).shape, base.info(name).shape];
    return own.join() === other.join() ? [] : [`${name} is (${own.join(', ')}) in ${student.name} and (${other.join(', ')}) in ${base.name}`];
  });
  if (wrong.length) throw new CheckpointError(`[merge] ${wrong.length} tensor${wrong.length > 1 ? 's differ' : ' differs'} in shape: ${wrong.slice(0, 5).join('; ')}${wrong.length > 5 ? '; …' : ''}. Hint: --base is the model that --model was made of.`);
}

const streamed = (shape: readonly number[], take: () => Promise<HostTensor>): StreamedTensor => ({
  dtype: 'F32',
  shape,
  async *chunks() {
    const { values } = await take();
    yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  },
});

/** Hands tensors from who makes them to who writes them, in the same order, one at a time. */
class Feed {
  private offered: { name: string; tensor: HostTensor; taken: () => void } | undefined;
  private waiting: { give: () => void; fail: (e: unknown) => void } | undefined;
  private failure: { error: unknown } | undefined;

  give(name: string, tensor: HostTensor): Promise<void> {
    return new Promise((taken) => {
      this.offered = { name, tensor, taken };
      this.waiting?.give();
    });
  }

  async take(name: string): Promise<HostTensor> {
    if (!this.offered && !this.failure) await new Promise<void>((give, fail) => (this.waiting = { give, fail }));
    this.waiting = undefined;
    if (this.failure) throw this.failure.error;
    const { name: offered, tensor, taken } = this.offered!;
    if (offered !== name) throw new CheckpointError(`[merge] expected tensor ${name} next, got ${offered}.`);
    this.offered = undefined;
    taken();
    return tensor;
  }

  fail(error: unknown): void {
    this.failure = { error };
    this.waiting?.fail(error);
  }
}
