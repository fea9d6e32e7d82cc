import type { HasParameters } from '../module/module.js';
import { CheckpointError } from '../errors.js';
import { loadParameters, stateDict } from '../io/parameters.js';
import { saveSafetensors } from '../io/save-safetensors.js';
import { openSafetensors } from '../io/safetensors.js';
import { syncFolder, writeError, writeFileAtomic, type WriteFs } from '../io/write-atomic.js';
import type { Rng, RngState } from '../rng.js';
import type { AdamW } from './adamw.js';
import type { BatchSource } from './types.js';

/** Everything that continuing a run bit for bit needs. */
export interface TrainState {
  model: HasParameters;
  optimizer: AdamW;
  batches: BatchSource;
  rng?: Rng | undefined;
}

/** `state.json` of a checkpoint. */
interface StateFile {
  version: 1;
  step: number;
  data: unknown;
  rng: RngState | null;
  /** What the caller wants kept: configuration, best value, … */
  extra: unknown;
}

export interface SaveCheckpointOptions {
  /** Updates made so far. */
  step: number;
  /** JSON kept with the checkpoint. */
  extra?: unknown;
  /** How many of the newest checkpoints stay. Default 2. */
  keep?: number | undefined;
  fs?: WriteFs | undefined;
}

const NAME = /^checkpoint-(\d{8,})$/;
const folderName = (step: number): string => `checkpoint-${String(step).padStart(8, '0')}`;

/**
 * Saves `root/checkpoint-<step>/` with `model.safetensors` (published names), `optimizer.safetensors` and `state.json`. It is written
 * under another name and renamed when complete: a checkpoint folder is whole or not there. Then older ones beyond `keep` are removed.
 *
 * @returns the folder.
 * @throws CheckpointError when writing fails, a full disk for one; what was there before is untouched.
 */
export async function saveCheckpoint(root: string, state: TrainState, options: SaveCheckpointOptions): Promise<string> {
  const { mkdir, rename, rm, open } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const target = join(root, folderName(options.step));
  const temporary = join(root, `.tmp-${folderName(options.step)}-${process.pid}`);
  const fs = options.fs ? { fs: options.fs } : {};
  const file: StateFile = { version: 1, step: options.step, data: state.batches.state(), rng: state.rng?.state ?? null, extra: options.extra ?? null };
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await saveSafetensors(stateDict(state.model), join(temporary, 'model.safetensors'), { format: 'pt' }, fs);
    await saveSafetensors(state.optimizer.state(), join(temporary, 'optimizer.safetensors'), {}, fs);
    await writeFileAtomic(join(temporary, 'state.json'), `${JSON.stringify(file, null, 1)}\n`, fs);
    await syncFolder(temporary, { open });
    // A folder cannot be renamed over one with content: the old one steps aside first.
    const aside = `${temporary}-old`;
    await rm(aside, { recursive: true, force: true });
    await rename(target, aside).catch((e: NodeJS.ErrnoException) => {
      if (e.code !== 'ENOENT') throw e;
    });
    await rename(temporary, target).catch(async (e: unknown) => {
      await rename(aside, target).catch(() => {});
      throw e;
    });
    await syncFolder(root, { open });
    await rm(aside, { recursive: true, force: true });
  } catch (e) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw writeError(target, e);
  }
  await removeOld(root, target, Math.max(1, options.keep ?? 2));
  return target;
}

/** The checkpoints of a run, oldest first. An absent folder has none. */
export async function listCheckpoints(root: string): Promise<{ folder: string; step: number }[]> {
  const { readdir } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const names = await readdir(root).catch((e: NodeJS.ErrnoException) => {
    if (e.code === 'ENOENT') return [];
    throw new CheckpointError(`[listCheckpoints] ${root}: cannot be read (${e.message}).`, { cause: e });
  });
  return names
    .flatMap((name) => (NAME.test(name) ? [{ folder: join(root, name), step: Number(NAME.exec(name)![1]) }] : []))
    .sort((a, b) => a.step - b.step);
}

async function removeOld(root: string, current: string, keep: number): Promise<void> {
  const { readdir, rm } = await import('node:fs/promises');
  const { join } = await import('node:path');
  const others = (await listCheckpoints(root)).filter((c) => c.folder !== current);
  for (const { folder } of others.slice(0, Math.max(0, others.length - (keep - 1)))) await rm(folder, { recursive: true, force: true });
  // What crashed runs left behind.
  for (const name of await readdir(root)) if (/^\.tmp-checkpoint-\d+-\d+(-old)?$/.test(name)) await rm(join(root, name), { recursive: true, force: true });
}

/**
 * Takes up a checkpoint: model, optimizer, data position and random numbers.
 * @param path A checkpoint folder, or the folder of a run, whose newest is taken.
 * @returns the updates made so far, and `extra` as it was saved.
 * @throws CheckpointError when there is none, it is damaged or belongs to another model; DataError when the data is another.
 */
export async function loadCheckpoint(path: string, state: TrainState): Promise<{ step: number; extra: unknown; folder: string }> {
  const { readFile } = await import('node:fs/promises');
  const { basename, join, resolve } = await import('node:path');
  const folder = NAME.test(basename(resolve(path))) ? path : (await listCheckpoints(path)).pop()?.folder;
  if (!folder) throw new CheckpointError(`[loadCheckpoint] ${path}: expected checkpoint-… folders, got none. Hint: name the folder that the run saved to.`);
  const at = join(folder, 'state.json');
  let file: StateFile;
  try {
    file = JSON.parse(await readFile(at, 'utf8')) as StateFile;
  } catch (cause) {
    throw new CheckpointError(`[loadCheckpoint] ${at}: cannot be read (${(cause as Error).message}). Hint: use an earlier checkpoint.`, { cause });
  }
  if (file.version !== 1 || !Number.isInteger(file.step)) throw new CheckpointError(`[loadCheckpoint] ${at}: expected a checkpoint of version 1, got ${String(file.version)}. Hint: it was written by another release.`);
  if (state.rng && !file.rng) throw new CheckpointError(`[loadCheckpoint] ${at}: expected the state of the random numbers, got none. Hint: the run was saved without an Rng.`);
  state.batches.restore(file.data);
  const optimizer = await openSafetensors(join(folder, 'optimizer.safetensors'));
  await state.optimizer.restore(optimizer).finally(() => optimizer.close());
  const model = await openSafetensors(join(folder, 'model.safetensors'));
  await loadParameters(state.model, model).finally(() => model.close());
  if (state.rng) state.rng.state = file.rng!;
  return { step: file.step, extra: file.extra, folder };
}
