import { join } from 'node:path';
import type { BackendInfo } from '@bytelm/core';
import { listCheckpoints } from '@bytelm/core/train';
import { breathe, compact, count, createProgress, stopSignal, type Progress } from '@bytelm/example-shared/cli';
import { readLines, trainRun, type RunSettings, type TrainJob, type TrainRunEvent } from '@bytelm/example-shared/train';

/** How a run of several stages is steered. */
export interface RunControl {
  /** Go on with the run in `out`. */
  resume?: boolean | undefined;
  /** Save and stop after this step, as Ctrl-C would; steps of earlier stages count. */
  stopAt?: number | undefined;
  /** Ctrl-C and SIGTERM stop as well. */
  signal?: AbortSignal | undefined;
  /** Print every event as a line of JSON on standard output. */
  json?: boolean | undefined;
}

export interface StageRun {
  /** For people, e.g. `stage 1`. */
  name: string;
  /** Of this stage alone. */
  folder: string;
  settings: RunSettings;
  backend: BackendInfo;
  control: RunControl;
  /** Steps of the stages before. */
  stepsBefore: number;
  /** Makes model and data. @param resumed The weights will come from a checkpoint: they need no initial values. */
  job(resumed: boolean): Promise<TrainJob>;
}

/**
 * Runs a stage to its end, from its newest checkpoint where it has one. A stage that is complete already is left alone.
 * @returns whether it is complete; `false`: it was stopped.
 */
export async function runStage({ name, folder, settings, backend, control, stepsBefore, job: makeJob }: StageRun): Promise<boolean> {
  const done = await stepsDone(folder);
  if (done !== null && done >= settings.steps) return true;
  const stopAt = control.stopAt === undefined ? undefined : control.stopAt - stepsBefore;
  if (stopAt !== undefined && stopAt <= (done ?? 0)) return false;
  const job = await makeJob(done !== null);
  const { signal: interrupt, release } = stopSignal(() => process.stderr.write('\nstopping after this step; press Ctrl-C again to stop at once without saving\n'));
  const signal = control.signal ? AbortSignal.any([interrupt, control.signal]) : interrupt;
  let progress: Progress | undefined;
  try {
    for await (const event of trainRun({ ...job, settings, out: folder, resume: done !== null, stopAt, signal, backend })) {
      if (event.type === 'start') {
        process.stderr.write(`${name}: ${compact(event.parameters)} parameters, steps ${event.step} to ${settings.steps}, learning rate ${settings.lr}\n`);
        progress = createProgress({ total: settings.steps, start: event.step, unit: `${name}: step` });
      }
      show(name, event, progress!);
      if (control.json) process.stdout.write(`${JSON.stringify({ stage: name, ...event })}\n`);
      await breathe();
    }
  } finally {
    progress?.stop();
    release();
    job.dispose();
  }
  return (await stepsDone(folder)) === settings.steps;
}

function show(name: string, event: TrainRunEvent, progress: Progress): void {
  if (event.type === 'step') progress.update(event.step, detail(event));
  else if (event.type === 'evaluation') progress.log(`${name}, step ${event.step}: ${event.bitsPerByte.toFixed(4)} bits per byte on held-out text`);
  else if (event.type === 'warning') progress.log(`warning: ${event.message}`);
  else if (event.type === 'saved') progress.log(`${name}, step ${event.step}: saved`);
}

function detail({ loss, losses, bytesPerSecond }: Extract<TrainRunEvent, { type: 'step' }>): string {
  const { boundaryAccuracy, bytesPerPatch } = losses;
  const boundaries = boundaryAccuracy === undefined ? '' : ` · boundaries ${(100 * boundaryAccuracy).toFixed(1)} %`;
  const patches = bytesPerPatch === undefined ? '' : ` · ${bytesPerPatch.toFixed(2)} bytes per patch`;
  return `loss ${loss.toFixed(4)}${boundaries}${patches} · ${count(bytesPerSecond)} bytes/s`;
}

/** Steps of the newest checkpoint; `null` when there is none. */
export const stepsDone = async (folder: string): Promise<number | null> => (await listCheckpoints(folder)).at(-1)?.step ?? null;

/** The weights of a stage's newest checkpoint. */
export async function newestWeights(folder: string): Promise<string> {
  return join((await listCheckpoints(folder)).at(-1)!.folder, 'model.safetensors');
}

/** What a stage has cost. */
export interface Budget {
  steps: number;
  /** Bytes that were predicted. */
  bytes: number;
  flops: number;
  seconds: number;
}

/** By the log, so that interruptions do not matter. */
export function budgetOf(folder: string, flopsPerByte: number): Budget {
  const steps = readLines(join(folder, 'log.jsonl')).filter((l) => l.type === 'step');
  const total = (key: string) => steps.reduce((sum, l) => sum + Number(l[key] ?? 0), 0);
  const bytes = total('bytes');
  return { steps: steps.length, bytes, flops: bytes * flopsPerByte, seconds: total('ms') / 1000 };
}
