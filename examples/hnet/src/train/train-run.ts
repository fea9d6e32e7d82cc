import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BYTE_VOCABULARIES, BytelmError, CheckpointError, ConfigError, DataError, type SequenceLM } from '@bytelm/core';
import { bitsPerByte } from '@bytelm/core/evaluation';
import { writeFileAtomic } from '@bytelm/core/io';
import { ByteWindows, cosine, linearWarmup, listCheckpoints, loadCheckpoint, saveCheckpoint, trainLoop, wsd, type Schedule, type StepEvent } from '@bytelm/core/train';
import { saveModel } from '../checkpoint.js';
import { resolveHNetConfig, type HNetConfig } from '../config.js';
import { openData, type OpenData } from './open-data.js';
import { hnetOptimizer } from './parameter-groups.js';
import { checkSettings, type TrainSettings } from './settings.js';
import { readLines, TrainLog } from './train-log.js';
import { splitParts } from './split-parts.js';

const { bos } = BYTE_VOCABULARIES.hnet;

export interface TrainRunOptions {
  model: SequenceLM;
  config: HNetConfig;
  settings: TrainSettings;
  /** Folder of the run: `log.jsonl`, `loss.svg`, `run.json`, checkpoints, and the newest `model.safetensors` with `config.json`. */
  out: string;
  /** Go on from the newest checkpoint in `out`. */
  resume?: boolean;
  /** Stop after this update as Ctrl-C would; the schedule stays that of all steps. */
  stopAt?: number | undefined;
  signal?: AbortSignal | undefined;
  /** For the log. */
  backend: { name: string; device: string };
}

export type TrainRunEvent =
  | { type: 'start'; step: number; data: OpenData['ranges']; validBytes: number; parameters: number }
  | (StepEvent & { bytesPerChunk: number[]; losses: Record<string, number> })
  | { type: 'evaluation'; step: number; bitsPerByte: number }
  | { type: 'saved'; step: number }
  /** Something that does not end the run: a checkpoint or log line that could not be written. */
  | { type: 'warning'; step: number; message: string }
  | { type: 'end'; step: number; stopped: boolean };

/**
 * Trains an H-Net into a folder. Checkpoints are written whole or not at all; one that cannot be written (a full disk) is a warning and
 * is tried again at the next occasion, only the last one is an error. Data that vanishes ends the run after what was learned is saved.
 *
 * @throws BytelmError
 */
export async function* trainRun(options: TrainRunOptions): AsyncGenerator<TrainRunEvent, void, undefined> {
  const { model, config, settings, out } = options;
  checkSettings(settings, config);
  await prepareFolder(out, Boolean(options.resume));
  const data = await openData(settings);
  const optimizer = hnetOptimizer(model, config, settings);
  let log: TrainLog | undefined;
  try {
    const batches = new ByteWindows(data.train, { length: settings.length, batch: settings.batch, seed: settings.seed, bos });
    const state = { model, optimizer, batches };
    const from = options.resume ? (await loadCheckpoint(out, state)).step : 0;
    if (!options.resume) await writeRunFile(out, settings, config);
    log = await TrainLog.open(join(out, 'log.jsonl'), options.resume ? from : -1);
    const say = logged(log);
    yield say({ type: 'start', step: from, data: data.ranges, validBytes: data.valid.length, parameters: model.numParameters }, { backend: options.backend, resumed: Boolean(options.resume) });

    let saved = options.resume ? from : -1;
    const save = async (step: number, last: boolean): Promise<TrainRunEvent> => {
      try {
        await saveCheckpoint(out, state, { step, keep: settings.keep });
        await saveModel(out, model, config);
        saved = step;
        return { type: 'saved', step };
      } catch (e) {
        if (last || !BytelmError.is(e)) throw e;
        return { type: 'warning', step, message: `${(e as Error).message} Training goes on; the next checkpoint is tried as usual.` };
      }
    };
    const end = Math.min(settings.steps, options.stopAt ?? settings.steps);
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    if (from >= end) stop.abort();
    let step = from;
    let logFailed = false;
    try {
      const loop = trainLoop({
        model,
        batches,
        optimizer,
        schedule: scheduleOf(settings),
        steps: settings.steps,
        startStep: from,
        accumulate: settings.accumulate,
        clip: settings.clip,
        signal,
        ...(data.valid.length && { evaluate: { every: settings.evalEvery, run: () => evaluate(model, data.valid, settings) } }),
      });
      for await (const event of loop) {
        if (event.type === 'step') {
          step = event.step;
          if (step >= end) stop.abort();
          yield say({ ...event, ...splitParts(event.parts) });
          const due = step % settings.saveEvery === 0 && step < end && !signal.aborted;
          if (due) yield say(await save(step, false));
          if (log.failure !== undefined && !logFailed) {
            logFailed = true;
            yield { type: 'warning', step, message: `${log.path}: it is not written any more: ${log.failure}` };
          }
        } else if (event.type === 'evaluation') yield say({ type: 'evaluation', step, bitsPerByte: event.metrics.bitsPerByte! });
      }
    } catch (e) {
      // The text is gone, but what was learned from it is still here.
      if (e instanceof DataError && saved !== step && step > from) yield say(await save(step, false));
      throw e;
    }
    if (saved !== step) yield say(await save(step, true));
    await drawLoss(out);
    yield say({ type: 'end', step, stopped: step < settings.steps });
  } finally {
    log?.close();
    await data.train.close();
    optimizer.dispose();
  }
}

/** Learning rate by update. */
export function scheduleOf(settings: TrainSettings): Schedule {
  const { lr: peak, steps, warmup, decay, decayShape } = settings;
  if (settings.schedule === 'cosine') return cosine({ peak, steps, warmup });
  if (settings.schedule === 'constant') return linearWarmup({ peak, warmupSteps: Math.round(warmup * steps) });
  return wsd({ peak, steps, warmup, decay, shape: decayShape });
}

async function evaluate(model: SequenceLM, valid: Uint8Array, { length, batch }: TrainSettings): Promise<Record<string, number>> {
  const { bitsPerByte: bpb } = await bitsPerByte(model, valid, { mode: 'chunked', window: length, batch, bos });
  return { bitsPerByte: bpb };
}

/** `loss.svg` out of the log. The plotting library is large: it is loaded only now. */
async function drawLoss(out: string): Promise<void> {
  const lines = readLines(join(out, 'log.jsonl'));
  if (!lines.some((l) => l.type === 'step')) return;
  const { lossCurveSvg } = await import('../page/index.js');
  await writeFileAtomic(join(out, 'loss.svg'), await lossCurveSvg(lines));
}

/** Writes an event to the log in few words, and hands it on. */
function logged(log: TrainLog): (event: TrainRunEvent, more?: Record<string, unknown>) => TrainRunEvent {
  return (event, more = {}) => {
    if (event.type === 'step') {
      const { step, loss, losses, bytesPerChunk, lr, gradNorm, bytes, bytesPerSecond, ms } = event;
      log.write({ type: 'step', step, loss, ...losses, bytesPerChunk, lr, gradNorm, bytes, bytesPerSecond: Math.round(bytesPerSecond), ms: Math.round(ms) });
    } else log.write({ ...event, ...more, time: new Date().toISOString() });
    return event;
  };
}

async function prepareFolder(out: string, resume: boolean): Promise<void> {
  const [newest] = (await listCheckpoints(out)).reverse();
  if (resume && !newest) throw new CheckpointError(`[train] ${out}: expected a run with checkpoints to resume, got none. Hint: leave --resume out, or name the folder the run was saved to.`);
  if (!resume && newest) throw new CheckpointError(`[train] ${out}: it already holds a run (${newest.folder}). Hint: --resume continues it; another --out starts anew.`);
  try {
    mkdirSync(out, { recursive: true });
  } catch (e) {
    throw new CheckpointError(`[train] ${out}: the folder cannot be made (${(e as Error).message}). Hint: choose another --out.`, { cause: e });
  }
}

async function writeRunFile(out: string, settings: TrainSettings, config: HNetConfig): Promise<void> {
  await writeFileAtomic(join(out, 'run.json'), `${JSON.stringify(settings, null, 1)}\n`);
  await writeFileAtomic(join(out, 'config.json'), `${JSON.stringify(config, null, 1)}\n`);
}

/** Settings and configuration of a run that was started in `out`. @throws CheckpointError when it is none. */
export function readRunFiles(out: string): { settings: TrainSettings; config: HNetConfig } {
  const read = (name: string): unknown => {
    const path = join(out, name);
    if (!existsSync(path)) throw new CheckpointError(`[train] ${path}: expected the file of an earlier run, there is none. Hint: --resume goes on with a run in --out.`);
    try {
      return JSON.parse(readFileSync(path, 'utf8'));
    } catch (e) {
      throw new ConfigError(`[train] ${path}: it is not JSON (${(e as Error).message}).`);
    }
  };
  return { settings: read('run.json') as TrainSettings, config: resolveHNetConfig(read('config.json')) };
}
