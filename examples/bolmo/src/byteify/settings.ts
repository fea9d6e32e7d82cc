import { ConfigError } from '@bytelm/core';
import type { BoundaryThreshold } from '@bytelm/dynamic-chunking';
import { PAPER_STAGE1, PUBLISHED_STAGE1, PUBLISHED_STAGE2, type StageLossConfig, type StageLossWeights } from '@bytelm/distill';
import type { BackendChoice, ByteRange } from '@bytelm/example-shared/cli';
import type { RunSettings } from '@bytelm/example-shared/train';
import type { LocalPreset } from './student-config.js';

/** What every stage needs to know about data and training, whatever it trains. */
export interface StageSettings {
  data: string[];
  range: ByteRange | null;
  validData: string[] | null;
  validRange: ByteRange | null;
  /** Tokens of a row, the begin symbol included. */
  patches: number;
  batch: number;
  accumulate: number;
  /** Share of a stage's steps in which the rate rises; then it falls in a straight line to 0. */
  warmup: number;
  weightDecay: number;
  clip: number;
  seed: number;
  backend: BackendChoice;
  /** On the way: after so many steps (0: never), on so many held-out bytes, in windows of so many. */
  evalEvery: number;
  evalBytes: number;
  window: number;
  saveEvery: number;
  keep: number;
  /** Held-out bytes of the final report. */
  reportBytes: number;
  /** Folder where the tokens of the text are kept for the next start; absent: the run's own. */
  tokenCache?: string | undefined;
  /** When the boundary predictor cuts; absent: what the model has, a new one `sample:0`, as published. */
  boundaryThreshold?: BoundaryThreshold | undefined;
}

export interface ByteifySettings extends StageSettings {
  /** Folder or Hugging Face id of the source model. */
  teacher: string;
  /** Bytes that the teacher has seen; `null`: what its own log says. Budgets are shares of it. */
  teacherBytes: number | null;
  preset: LocalPreset;
  localEncoderLayers: number | null;
  localDecoderLayers: number | null;
  localHeads: number | null;
  localIntermediate: number | null;
  /** Of the byte models' mLSTM layers at the beginning: closed gates open slowly. */
  inputGateBias: number;
  skipStage1: boolean;
  /** A quarter of the teacher's bytes, or 500 steps, where neither bytes nor steps are given. */
  stage1Bytes: number | null;
  stage1Steps: number | null;
  stage2Bytes: number | null;
  stage2Steps: number | null;
  /** Highest rates; `null`: the published ones, scaled to the width. */
  stage1Lr: number | null;
  stage2Lr: number | null;
  /** Of the main network in stage 2; `null`: half of `stage2Lr`. */
  stage2GlobalLr: number | null;
  loss: LossName;
  /** Weights of stage 1 in place of those of `loss`. Runs of before have none. */
  weights?: Partial<StageLossWeights> | undefined;
  /** Of stage 2 in place of the published ones: `boundary`, `crossEntropy`, and `byteDistill`, for which the teacher stays. Runs of before have none. */
  stage2Weights?: Partial<StageLossWeights> | undefined;
  /** Blocks that stage 1 compares patches behind; runs of before: 4. */
  encoderBlocks?: number | undefined;
  /** Stage 2 cuts where the tokenizer does, not where the predictor does, always or in a share of the batches; absent: it does not, as published. */
  trueBoundaries?: boolean | number | undefined;
}

/** Blocks behind which the published runs compare patches. */
export const ENCODER_BLOCKS = 4;

export const STAGE_DEFAULTS = {
  range: null,
  validData: null,
  validRange: null,
  patches: 128,
  batch: 8,
  accumulate: 1,
  warmup: 0.1,
  weightDecay: 0.1,
  clip: 0.5,
  seed: 0,
  backend: 'auto',
  evalEvery: 100,
  evalBytes: 16_384,
  window: 512,
  saveEvery: 200,
  keep: 2,
  reportBytes: 65_536,
} as const satisfies Partial<StageSettings>;

export const BYTEIFY_DEFAULTS = {
  ...STAGE_DEFAULTS,
  teacherBytes: null,
  preset: 'bolmo',
  localEncoderLayers: null,
  localDecoderLayers: null,
  localHeads: null,
  localIntermediate: null,
  inputGateBias: -10,
  skipStage1: false,
  stage1Bytes: null,
  stage1Steps: null,
  stage2Bytes: null,
  stage2Steps: null,
  stage1Lr: null,
  stage2Lr: null,
  stage2GlobalLr: null,
  loss: 'exact',
} as const satisfies Partial<ByteifySettings>;

/** Losses of stage 1 by name: the published flags; the same without the "white space follows" term and plainly averaged; as the paper writes it. */
export const STAGE1_LOSSES = {
  published: PUBLISHED_STAGE1,
  exact: { ...PUBLISHED_STAGE1, debias: false, normalization: 'plain' },
  paper: PAPER_STAGE1,
} as const satisfies Record<string, StageLossConfig>;
export type LossName = keyof typeof STAGE1_LOSSES;

const WEIGHT_NAMES = ['boundary', 'encoder', 'distill', 'crossEntropy', 'byteDistill'] as const satisfies readonly (keyof StageLossWeights)[];
/** Losses that stage 2 has. */
export const STAGE2_WEIGHT_NAMES = ['boundary', 'crossEntropy', 'byteDistill'] as const satisfies readonly (keyof StageLossWeights)[];

/** The losses of stage 1 that settings ask for. */
export function stage1Losses({ loss, weights = {} }: Pick<ByteifySettings, 'loss' | 'weights'>): StageLossConfig {
  const base: StageLossConfig = STAGE1_LOSSES[loss];
  return { ...base, weights: { ...base.weights, ...weights } };
}

/** The losses of stage 2, averaged as those of stage 1. */
export function stage2Losses({ loss, stage2Weights = {} }: { loss: LossName; stage2Weights?: ByteifySettings['stage2Weights'] }): StageLossConfig {
  return { ...PUBLISHED_STAGE2, normalization: STAGE1_LOSSES[loss].normalization, weights: { ...PUBLISHED_STAGE2.weights, ...stage2Weights } };
}

/** `name=value` pairs of weights. @throws ConfigError */
export function parseWeights(pairs: readonly string[], { option = '--weights', names = WEIGHT_NAMES }: { option?: string; names?: readonly (keyof StageLossWeights)[] } = {}): Partial<StageLossWeights> {
  return Object.fromEntries(pairs.map((pair) => {
    const [name = '', value = ''] = pair.split('=');
    const weight = Number(value);
    if (!(names as readonly string[]).includes(name) || !value || !(weight >= 0)) {
      throw new ConfigError(`[byteify] ${option} ${pair}: expected NAME=NUMBER with one of ${names.join(', ')} and a number of at least 0.`);
    }
    return [name, weight];
  }));
}

/** Where the published rates belong: Bolmo 1B. */
const REFERENCE_WIDTH = 2048;

/**
 * The published highest rates at another width: they fall with its square root from the 1B (7e-4, 5.2e-5) to the 7B (5e-4, 3.7e-5), and go
 * on so to small models.
 * @source Bolmo, arXiv 2512.15586, table 8.
 */
export function publishedRates(dModel: number): { stage1: number; stage2: number } {
  const scale = Math.sqrt(REFERENCE_WIDTH / dModel);
  return { stage1: rounded(7e-4 * scale), stage2: rounded(5.2e-5 * scale) };
}

const rounded = (rate: number): number => Number(rate.toPrecision(2));

/** What `trainRun` needs to know about one stage. */
export function runSettings(s: StageSettings, { steps, lr }: { steps: number; lr: number }): RunSettings {
  const { data, range, validData, validRange, batch, accumulate, warmup, weightDecay, clip, seed, backend, evalEvery, evalBytes, saveEvery, keep } = s;
  return {
    data, range, validData, validRange, batch, accumulate, warmup, weightDecay, clip, seed, backend, evalEvery, evalBytes, saveEvery, keep, steps, lr,
    length: s.window,
    schedule: 'wsd',
    decay: 1 - warmup,
    decayShape: 'linear',
    init: null,
  };
}

/** @throws ConfigError listing everything that is wrong. */
export function checkStageSettings(where: string, s: StageSettings, more: readonly string[] = []): void {
  const problems = [...more];
  if (!s.data.length) problems.push('data: expected at least one file or folder');
  const wholes = { patches: [s.patches, 2], batch: [s.batch, 1], accumulate: [s.accumulate, 1], window: [s.window, 2], saveEvery: [s.saveEvery, 1], keep: [s.keep, 1], reportBytes: [s.reportBytes, 1], evalEvery: [s.evalEvery, 0], evalBytes: [s.evalBytes, 1] } as const;
  for (const [name, [value, from]] of Object.entries(wholes)) if (!(Number.isInteger(value) && value >= from)) problems.push(`${name}: expected a whole number from ${from}, got ${value}`);
  if (!(s.warmup >= 0 && s.warmup < 1)) problems.push(`warmup: expected a share below 1, got ${s.warmup}`);
  if (problems.length) throw new ConfigError(`[${where}] ${problems.join('; ')}.`);
}

/** Both ways of saying how long a stage is must not be given at once. */
export const lengthProblems = (name: string, bytes: number | null, steps: number | null): string[] =>
  bytes !== null && steps !== null ? [`${name}: expected its bytes or its steps, got both`] : [];
