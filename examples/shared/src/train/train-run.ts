import { join } from 'node:path';
import { BytelmError, DataError, type ByteLM, type ByteVocabulary } from '@bytelm/core';
import { bitsPerByte } from '@bytelm/core/evaluation';
import { loadCheckpoint, saveCheckpoint, trainLoop, type AdamW, type StepEvent, type TrainableModel } from '@bytelm/core/train';
import { CountedBatches } from './count-bytes.js';
import type { OpenBatches, TextRanges } from './open-data.js';
import { drawLoss, prepareFolder, writeRunFile } from './run-folder.js';
import { scheduleOf, type RunSettings } from './run-settings.js';
import { TrainLog } from './train-log.js';
import { splitParts } from './split-parts.js';

/** A byte model that can be trained. */
export type RunModel = ByteLM & TrainableModel & { readonly numParameters: number };

/** What is trained, and how its bits per byte are found: by the model's bytes, or as the job knows. */
type Scored =
  | { model: RunModel; vocabulary: ByteVocabulary; evaluate?: undefined }
  /** `evaluate`: numbers of the held-out bytes, `bitsPerByte` among them. */
  | { model: TrainableModel & { readonly numParameters: number }; evaluate(valid: Uint8Array): Promise<Record<string, number>> };

/** What a run needs of the model at hand. */
export type TrainJob = Scored & {
  open(): Promise<OpenBatches>;
  optimizer(): AdamW;
  /** Writes the configuration, when a run begins. */
  saveConfig(folder: string): Promise<void>;
  /** Writes weights and configuration under their published names. */
  save(folder: string): Promise<void>;
  /** Frees the model and what belongs to it. */
  dispose(): void;
};

export type TrainRunOptions = TrainJob & {
  settings: RunSettings;
  /** Folder of the run: `log.jsonl`, `loss.svg`, `run.json`, checkpoints, and the newest `model.safetensors` with `config.json`. */
  out: string;
  /** Go on from the newest checkpoint in `out`. */
  resume?: boolean;
  /** Stop after this update as Ctrl-C would; the schedule stays that of all steps. */
  stopAt?: number | undefined;
  signal?: AbortSignal | undefined;
  /** For the log. */
  backend: { name: string; device: string };
};

export type TrainRunEvent =
  | { type: 'start'; step: number; data: TextRanges; validBytes: number; parameters: number }
  | (StepEvent & { bytesPerChunk: number[]; losses: Record<string, number> })
  | { type: 'evaluation'; step: number; bitsPerByte: number }
  | { type: 'saved'; step: number }
  /** Something that does not end the run: a checkpoint or log line that could not be written. */
  | { type: 'warning'; step: number; message: string }
  | { type: 'end'; step: number; stopped: boolean };

/**
 * Trains a model into a folder. Checkpoints are written whole or not at all; one that cannot be written (a full disk) is a warning and
 * is tried again at the next occasion, only the last one is an error. Data that vanishes ends the run after what was learned is saved.
 *
 * @throws BytelmError
 */
export async function* trainRun(options: TrainRunOptions): AsyncGenerator<TrainRunEvent, void, undefined> {
  const { model, settings, out } = options;
  await prepareFolder(out, Boolean(options.resume));
  const data = await options.open();
  const optimizer = options.optimizer();
  let log: TrainLog | undefined;
  try {
    const state = { model, optimizer, batches: data.batches };
    const from = options.resume ? (await loadCheckpoint(out, state)).step : 0;
    if (!options.resume) {
      await writeRunFile(out, settings);
      await options.saveConfig(out);
    }
    log = await TrainLog.open(join(out, 'log.jsonl'), options.resume ? from : -1);
    const say = logged(log);
    yield say({ type: 'start', step: from, data: data.ranges, validBytes: data.valid.length, parameters: model.numParameters }, { backend: options.backend, resumed: Boolean(options.resume) });

    let saved = options.resume ? from : -1;
    const save = async (step: number, last: boolean): Promise<TrainRunEvent> => {
      try {
        await saveCheckpoint(out, state, { step, keep: settings.keep });
        await options.save(out);
        saved = step;
        return { type: 'saved', step };
      } catch (e) {
        if (last || !BytelmError.is(e)) throw e;
        return { type: 'warning', step, message: `${(e as Error).message} Training goes on; the next checkpoint is tried as usual.` };
      }
    };
    const end = Math.min(settings.steps, options.stopAt ?? settings.steps);
    const counted = data.bytesOf && new CountedBatches(data.batches, data.bytesOf);
    const heldOut = () => (options.evaluate ? options.evaluate(data.valid) : evaluate(options.model, data.valid, settings, options.vocabulary));
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    if (from >= end) stop.abort();
    let step = from;
    let logFailed = false;
    try {
      const loop = trainLoop({
        model,
        batches: counted ?? data.batches,
        optimizer,
        schedule: scheduleOf(settings),
        steps: settings.steps,
        startStep: from,
        accumulate: settings.accumulate,
        clip: settings.clip,
        signal,
        ...(data.valid.length && { evaluate: { every: settings.evalEvery, run: heldOut } }),
      });
      for await (const event of loop) {
        if (event.type === 'step') {
          step = event.step;
          if (step >= end) stop.abort();
          yield say(perByte({ ...event, ...splitParts(event.parts) }, counted?.take()));
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
    await data.close();
    optimizer.dispose();
  }
}

async function evaluate(model: RunModel, valid: Uint8Array, { length, batch }: RunSettings, { bos, offset }: ByteVocabulary): Promise<Record<string, number>> {
  const { bitsPerByte: bpb } = await bitsPerByte(model, valid, { mode: 'chunked', window: length, batch, bos, byteOffset: offset });
  return { bitsPerByte: bpb };
}

type Step = Extract<TrainRunEvent, { type: 'step' }>;

/** Rate and cross-entropy by bytes, where a step's targets are something else: all rows are full, so the mean over targets is their sum. */
function perByte(event: Step, bytes: number | undefined): Step {
  if (!bytes) return event;
  const { crossEntropy, ...losses } = event.losses;
  return {
    ...event,
    bytes,
    bytesPerSecond: (1000 * bytes) / event.ms,
    losses: { ...(crossEntropy !== undefined && { crossEntropy: (crossEntropy * event.bytes) / bytes }), ...losses },
  };
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
