import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, NumericError } from '../errors.js';
import '../gradients.js';
import type { Rng } from '../rng.js';
import type { AdamW } from './adamw.js';
import { saveCheckpoint } from './checkpoint.js';
import { clipScale, globalNorm } from './clip.js';
import { accumulate, firstNonFinite, type Accumulated } from './accumulate.js';
import type { BatchSource, Schedule, TrainableModel } from './types.js';

/** What one update did. */
export interface StepEvent {
  type: 'step';
  /** Updates made so far, this one included. */
  step: number;
  /** Mean over the batches of this update, in nats. */
  loss: number;
  /** The model's own numbers, averaged likewise. */
  parts: Record<string, number>;
  /** Global norm before clipping. */
  gradNorm: number;
  /** Rate of this update, before group multipliers. */
  lr: number;
  /** Target bytes of this update. */
  bytes: number;
  bytesPerSecond: number;
  /** Wall time of this update. */
  ms: number;
}

export type TrainEvent =
  | StepEvent
  | { type: 'evaluation'; step: number; metrics: Record<string, number> }
  | { type: 'checkpoint'; step: number; folder: string }
  /** `stopped`: the signal asked for it, the run is not complete. */
  | { type: 'end'; step: number; stopped: boolean };

export interface TrainLoopOptions {
  model: TrainableModel;
  batches: BatchSource;
  optimizer: AdamW;
  schedule: Schedule;
  /** Updates of the whole run. */
  steps: number;
  /** Updates already made (from `loadCheckpoint`). Default 0. */
  startStep?: number | undefined;
  /** Batches per update; every batch weighs the same. Default 1. */
  accumulate?: number | undefined;
  /** Largest global gradient norm; 0 switches clipping off. Default 1. */
  clip?: number | undefined;
  evaluate?: { every: number; run: (step: number) => Promise<Record<string, number>> } | undefined;
  checkpoint?: { folder: string; every: number; keep?: number | undefined; extra?: unknown } | undefined;
  /** Saved with checkpoints. */
  rng?: Rng | undefined;
  /** Ends the loop after the update under way, with a checkpoint if there is a folder for it. */
  signal?: AbortSignal | undefined;
}

/**
 * Trains, one event at a time; the consumer sets the pace and may stop with `break`. After each update the loss and the gradient norm are
 * read (asynchronously, once) and checked **before** the parameters change, so that a divergence never reaches them.
 *
 * @throws NumericError naming the step, and the first tensor that is not finite.
 * @example
 * for await (const e of trainLoop({ model, batches, optimizer, schedule: wsd({ peak: 3e-3, steps: 200 }), steps: 200 })) {
 *   if (e.type === 'step') console.log(e.step, e.loss, e.bytesPerSecond);
 * }
 */
export async function* trainLoop(options: TrainLoopOptions): AsyncGenerator<TrainEvent, void, undefined> {
  const { model, batches, optimizer, schedule, steps, startStep = 0, clip = 1, evaluate, checkpoint, signal } = options;
  const perUpdate = options.accumulate ?? 1;
  checkOptions({ steps, startStep, accumulate: perUpdate, 'evaluate.every': evaluate?.every ?? 1, 'checkpoint.every': checkpoint?.every ?? 1 });
  let saved = startStep;
  const save = async (step: number): Promise<TrainEvent> => {
    const { folder, keep, extra } = checkpoint!;
    saved = step;
    return { type: 'checkpoint', step, folder: await saveCheckpoint(folder, { model, optimizer, batches, rng: options.rng }, { step, keep, extra }) };
  };
  let step = startStep;
  while (step < steps && !signal?.aborted) {
    const begin = performance.now();
    const lr = schedule(step);
    const sums = await accumulate(model, batches, perUpdate);
    let numbers: { loss: number; gradNorm: number; parts: Record<string, number> };
    try {
      numbers = await update(step + 1, sums, model, optimizer, lr, clip);
    } finally {
      sums.dispose();
    }
    step++;
    const ms = performance.now() - begin;
    yield { type: 'step', step, ...numbers, lr, bytes: sums.targets, bytesPerSecond: (1000 * sums.targets) / ms, ms };
    if (evaluate && (step % evaluate.every === 0 || step === steps)) yield { type: 'evaluation', step, metrics: await evaluate.run(step) };
    if (checkpoint && (step % checkpoint.every === 0 || step === steps)) yield await save(step);
  }
  if (checkpoint && saved !== step) yield await save(step);
  yield { type: 'end', step, stopped: step < steps };
}

/** Reads loss and norm, checks them, then applies the update. */
async function update(step: number, sums: Accumulated, model: TrainableModel, optimizer: AdamW, lr: number, clip: number) {
  const norm = globalNorm(sums.grads);
  try {
    const names = [...sums.parts.keys()];
    // One read for all scalars: on a GPU each read is a round trip.
    const all = tf.tidy(() => tf.stack([sums.loss, norm, ...sums.parts.values()]));
    const [loss, gradNorm, ...parts] = await all.data().finally(() => all.dispose());
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) throw await diverged(step, loss!, gradNorm!, sums, model);
    const scale = clip > 0 ? clipScale(norm, clip) : undefined;
    optimizer.apply(sums.grads, { lr, scale });
    scale?.dispose();
    return { loss: loss!, gradNorm: gradNorm!, parts: Object.fromEntries(names.map((n, i) => [n, parts[i]!])) };
  } finally {
    norm.dispose();
  }
}

async function diverged(step: number, loss: number, gradNorm: number, sums: Accumulated, model: TrainableModel): Promise<NumericError> {
  const parameter = await firstNonFinite(model.parameters());
  const gradient = parameter ? undefined : await firstNonFinite(sums.grads);
  const where = parameter ? `parameter ${parameter}` : gradient ? `the gradient of ${gradient}` : Number.isFinite(loss) ? 'the gradient norm' : 'the loss';
  return new NumericError(
    `[trainLoop] step ${step}: loss ${loss}, gradient norm ${gradNorm}, expected finite numbers; the first tensor that is not finite is ${where}. ` +
      'The parameters were not changed by this step. Hint: a lower learning rate or a longer warm-up; resume from the last checkpoint.',
  );
}

function checkOptions(counts: Record<string, number>): void {
  const problems = Object.entries(counts).filter(([name, n]) => !Number.isInteger(n) || n < (name === 'startStep' || name === 'steps' ? 0 : 1));
  if (problems.length) throw new ConfigError(`[trainLoop] ${problems.map(([name, n]) => `${name}: expected a whole number, got ${n}`).join('; ')}.`);
}
