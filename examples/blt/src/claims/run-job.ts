import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Rng, SequenceContext, type BackendName, type HierarchicalLM, type SequenceLM } from '@bytelm/core';
import { loadParameters, openSafetensors, saveSafetensors, stateDict } from '@bytelm/core/io';
import { ByteWindows, listCheckpoints } from '@bytelm/core/train';
import { breathe, createProgress, runProgram, startBackend, stopSignal } from '@bytelm/example-shared/cli';
import { readBytes, readLines, RUN_DEFAULTS, trainRun, type RunSettings } from '@bytelm/example-shared/train';
import { ByteTokenizer } from '@bytelm/core';
import { addTrainBLTCommand } from '../commands/train.js';
import { BLT } from '../family.js';
import { flopsPerByte } from '../flops.js';
import { optimizerOf } from '../train/parameter-groups.js';
import { bpeFlopsPerByte, bpeModel, tokenStore, type TokenReader } from './bpe-model.js';
import { stepsOf, type Job, type JobOptions } from './jobs.js';
import type { Result } from './report.js';
import { scoresOf, type Pair } from './score.js';

export interface ClaimsContext {
  options: JobOptions;
  tokens: TokenReader;
  windows: readonly Pair[];
  noisy: number;
  noiseSeeds: readonly number[];
}

/** Has the run in this folder come to its end? */
const isDone = (folder: string): boolean => readLines(join(folder, 'log.jsonl')).some((l) => l.type === 'end' && l.stopped === false);

/**
 * Trains one model, or goes on with it, and measures it.
 * @returns `undefined` when it was stopped before its end.
 */
export async function runJob(job: Job, context: ClaimsContext): Promise<Result | undefined> {
  const folder = join(context.options.runs, job.name);
  if (!isDone(folder)) await (job.variant === 'bpe' ? trainBpe(folder, job, context) : trainBLT(folder, job));
  if (!isDone(folder)) return undefined;
  await startBackend(context.options.backend as BackendName);
  return job.variant === 'bpe' ? measureBpe(folder, job, context) : measureBLT(folder, job, context);
}

async function trainBLT(folder: string, job: Job): Promise<void> {
  const resume = (await listCheckpoints(folder)).length > 0;
  const code = await runProgram('blt', '', [addTrainBLTCommand], resume ? ['train', '--resume', '--out', folder] : [...job.args, '--out', folder]);
  if (code) throw new Error(`${job.name}: training ended with code ${code}`);
}

async function measureBLT(folder: string, job: Job, { options, windows, noisy, noiseSeeds }: ClaimsContext): Promise<Result> {
  const source = await BLT.find({ model: folder, backend: 'auto', seed: 0 });
  const model = (await BLT.load(source, { seed: 0 })) as HierarchicalLM;
  const tokenizer = new ByteTokenizer('blt');
  try {
    const scores = await scoresOf({ model, begin: 1, encode: (text) => tokenizer.encode(text, { bos: false }) }, windows, noisy, noiseSeeds);
    const bytesPerPatch = await meanPatch(model, windows.slice(0, 64));
    const flops = flopsPerByte(source.config, { bytesPerPatch });
    const entropy = source.config.patching.mode === 'entropy' ? flops.entropyModel : 0;
    return { name: job.name, variant: job.variant, seed: job.seed, ...scores, bytesPerPatch, bytesSeen: stepsOf(options) * options.batch * options.length, parameters: model.numParameters, flopsPerByte: flops.model + entropy };
  } finally {
    model.dispose();
  }
}

async function meanPatch(model: HierarchicalLM, windows: readonly Pair[]): Promise<number> {
  const tokenizer = new ByteTokenizer('blt');
  let [ids, patches] = [0, 0];
  for (const { context, text } of windows) {
    const row = tokenizer.encode(context + text);
    const ctx = new SequenceContext(1, row.length, { ids: row });
    const seg = await model.parts.chunker.segment(undefined, ctx);
    ids += row.length;
    patches += seg.numChunks[0]!;
    seg.dispose();
    ctx.dispose();
  }
  return ids / patches;
}

/** Text behind which rows of tokens have as many bytes as the other models' rows. */
const PROBE = 200_000;

async function trainBpe(folder: string, job: Job, { options, tokens }: ClaimsContext): Promise<void> {
  const [start, end] = options.range.split(':').map(Number);
  const text = new TextDecoder().decode(await readBytes(options.data, [start!, end || null]));
  const bytesPerToken = PROBE / tokens.encode(text.slice(0, PROBE)).length;
  const length = Math.round(options.length / bytesPerToken);
  const { batch, backend } = options;
  const settings: RunSettings = { ...RUN_DEFAULTS, lr: 3e-3, warmup: 0.05, evalEvery: 0, saveEvery: 100, keep: 1, data: options.data, steps: stepsOf(options), batch, length, seed: job.seed, backend: backend as BackendName };
  const info = await startBackend(settings.backend);
  const model = bpeModel(tokens.vocabSize, new Rng(job.seed));
  const save = (to: string) => saveSafetensors(stateDict(model), join(to, 'model.safetensors'));
  const open = async () => {
    const store = tokenStore(tokens.encode(text));
    return { batches: new ByteWindows(store, { length, batch, seed: job.seed, bos: 0 }), valid: new Uint8Array(0), ranges: { train: [start!, end!] as [number, number], valid: null }, close: () => store.close() };
  };
  const { signal, release } = stopSignal(() => process.stderr.write('\nstopping after this step\n'));
  const progress = createProgress({ total: settings.steps, unit: 'step' });
  try {
    const run = trainRun({
      model,
      settings,
      out: folder,
      signal,
      backend: info,
      resume: (await listCheckpoints(folder)).length > 0,
      vocabulary: { offset: 0, vocabSize: tokens.vocabSize, bos: 0, eos: 0 },
      open,
      optimizer: () => optimizerOf(model, { weightDecay: settings.weightDecay, decayRule: 'matrices' }),
      saveConfig: save,
      save,
      dispose: () => {},
    });
    for await (const event of run) {
      if (event.type === 'step') progress.update(event.step, `loss ${event.loss.toFixed(4)} a token`);
      await breathe();
    }
  } finally {
    progress.stop();
    release();
    model.dispose();
  }
}

async function measureBpe(folder: string, job: Job, { options, tokens, windows, noisy, noiseSeeds }: ClaimsContext): Promise<Result> {
  const model: SequenceLM = bpeModel(tokens.vocabSize, new Rng(job.seed));
  const file = await openSafetensors(join(folder, 'model.safetensors'));
  try {
    await loadParameters(model, file);
    const scores = await scoresOf({ model, begin: 0, encode: tokens.encode }, windows, noisy, noiseSeeds);
    const text = windows.slice(0, 64).map((w) => w.text).join('');
    const bytesPerPatch = new TextEncoder().encode(text).length / tokens.encode(text).length;
    const flops = bpeFlopsPerByte(tokens.vocabSize, bytesPerPatch, options.length / bytesPerPatch);
    return { name: job.name, variant: job.variant, seed: job.seed, ...scores, bytesPerPatch, bytesSeen: stepsOf(options) * options.batch * options.length, parameters: model.numParameters, flopsPerByte: flops };
  } finally {
    await file.close();
    model.dispose();
  }
}

/** Where a job's result is kept. */
export const resultPath = (runs: string, job: Pick<Job, 'name'>): string => join(runs, job.name, 'result.json');
export const hasResult = (runs: string, job: Pick<Job, 'name'>): boolean => existsSync(resultPath(runs, job));
