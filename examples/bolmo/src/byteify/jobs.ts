import { Rng, type BackendInfo, type BoundaryEmittingLM } from '@bytelm/core';
import { loadParameters, openSafetensors } from '@bytelm/core/io';
import { AdamW } from '@bytelm/core/train';
import { BOLMO_INIT, byteifyInit, CompressedRows, Stage1, Stage2, teacherOf, TokenRows, type MergeOrder, type StageLossConfig, type SubwordTokenizer, type Teacher } from '@bytelm/distill';
import { loadSourceLM, openSource, type SourceLM } from '@bytelm/example-olmo';
import type { RunModel, TrainJob } from '@bytelm/example-shared/train';
import * as tf from '@tensorflow/tfjs-core';
import { parseBolmoConfig } from '../config.js';
import { BOLMO } from '../family.js';
import { createBolmo } from '../model.js';
import { SuffixTrie } from '../parts/suffix-trie.js';
import { saveStudent } from './save-student.js';
import { ENCODER_BLOCKS, stage1Losses, stage2Losses, type ByteifySettings, type StageSettings } from './settings.js';
import type { StageText } from './tokens.js';

/** What all stages of a run share. */
export interface StageContext {
  settings: StageSettings;
  /** The student's `config.json`. */
  raw: Readonly<Record<string, unknown>>;
  tokenizer: SubwordTokenizer;
  /** Of the tokenizer's files. */
  tokenizerFolder: string;
  text: StageText;
  backend: BackendInfo;
}

/** On webgpu few different shapes mean few shaders. */
const WEBGPU_BYTES = 64;
const WEBGPU_PATCHES = 16;

/** A student of a run: zeros that wait for a checkpoint, or with drawn weights. */
export function emptyStudent({ raw, tokenizer, backend }: Pick<StageContext, 'raw' | 'tokenizer' | 'backend'>, rng?: Rng): BoundaryEmittingLM {
  const trie = SuffixTrie.fromVocabulary(tokenizer.vocabulary);
  return createBolmo(parseBolmoConfig(raw), { trie, rng, padPatchesTo: backend.name === 'webgpu' ? WEBGPU_PATCHES : undefined });
}

/** A student with the weights of a file. */
export async function loadedStudent(context: StageContext, file: string): Promise<BoundaryEmittingLM> {
  const student = emptyStudent(context);
  const weights = await openSafetensors(file);
  await loadParameters(student, weights).finally(() => weights.close());
  return student;
}

/** A student as byteification begins: the teacher's layers, embedding table and final norm, everything else drawn. */
export async function initialStudent(context: StageContext, { teacher, inputGateBias }: Pick<ByteifySettings, 'teacher' | 'inputGateBias'>): Promise<BoundaryEmittingLM> {
  const student = emptyStudent(context, new Rng(context.settings.seed));
  const { files } = await openSource(teacher);
  await byteifyInit(student, files.tensors, { seed: context.settings.seed }).finally(() => files.close());
  for (const [name, bias] of student.parameters()) {
    if (!BOLMO_INIT.closed.test(name)) continue;
    const value = tf.fill(bias.shape, inputGateBias);
    bias.assign(value);
    value.dispose();
  }
  return student;
}

/** Stage 1: byte models learn from the teacher around its frozen layers. */
export async function stage1Job(context: StageContext, student: BoundaryEmittingLM, settings: ByteifySettings): Promise<TrainJob> {
  const { teacher, encoderBlocks = ENCODER_BLOCKS } = settings;
  const source: SourceLM = await loadSourceLM(await openSource(teacher));
  const blocks = Math.min(encoderBlocks, parseBolmoConfig(context.raw).body.numLayers);
  const stage = new Stage1(student, teacherOf(source, teacher), { vocabulary: context.tokenizer.vocabulary, losses: stage1Losses(settings), encoderBlocks: blocks });
  return stageJob(context, { stage, student, mainRate: 1, owned: [source] });
}

export interface WholeJobOptions {
  losses: StageLossConfig;
  /** For losses that need it. */
  teacher?: Teacher | undefined;
  /** Rate of the main network as a share of the others'. */
  mainRate: number;
  /** Longer patches as training goes on. */
  compression?: { start: number; target: number; batches: number; merges: 'frequency' | MergeOrder } | undefined;
  /** Models to be freed with it. */
  owned?: readonly { dispose(): void }[];
  /** Patches end where the tokenizer says, not where the predictor does; a number: in such a share of the batches. */
  trueBoundaries?: boolean | number | undefined;
}

/** Stage 2, everything end to end; with `compression` the stage for longer patches. */
export function wholeJob(context: StageContext, student: BoundaryEmittingLM, { losses, mainRate, compression, owned = [], trueBoundaries, teacher }: WholeJobOptions): TrainJob {
  const stage = new Stage2(student, { losses, teacherForceBoundaries: trueBoundaries, teacher: teacher && { model: teacher, vocabulary: context.tokenizer.vocabulary } });
  return stageJob(context, { stage, student, mainRate, compression, owned });
}

/** Stage 2 of a byteification; its teacher is read in only where a loss asks for it. */
export async function stage2Job(context: StageContext, student: BoundaryEmittingLM, settings: ByteifySettings, mainRate: number): Promise<TrainJob> {
  const losses = stage2Losses(settings);
  const source = losses.weights.byteDistill ? await loadSourceLM(await openSource(settings.teacher)) : undefined;
  const teacher = source && teacherOf(source, settings.teacher);
  return wholeJob(context, student, { losses, mainRate, trueBoundaries: settings.trueBoundaries, teacher, owned: source ? [source] : [] });
}

interface JobParts extends Pick<WholeJobOptions, 'mainRate' | 'compression'> {
  stage: Stage1 | Stage2;
  student: BoundaryEmittingLM;
  owned: readonly { dispose(): void }[];
}

function stageJob({ settings, raw, tokenizer, tokenizerFolder, text, backend }: StageContext, { stage, student, mainRate, compression, owned }: JobParts): TrainJob {
  const { patches, batch, seed, weightDecay, evalEvery, evalBytes } = settings;
  const save = (folder: string) => saveStudent(folder, student, raw, tokenizerFolder);
  return {
    model: stage satisfies RunModel,
    vocabulary: BOLMO.vocabulary,
    async open() {
      const rows = new TokenRows(text.train, { vocabulary: tokenizer.vocabulary, patches, batch, seed, ...(backend.name === 'webgpu' && { padBytesTo: WEBGPU_BYTES }) });
      const batches = compression ? new CompressedRows(rows, { ...compression, steps: compression.batches }) : rows;
      return { batches, valid: evalEvery ? text.heldOut.subarray(0, evalBytes) : new Uint8Array(0), ranges: text.ranges, close: async () => {} };
    },
    optimizer: () => new AdamW(stage.parameterGroups({ mainRate, weightDecay }), { betas: [0.9, 0.95], eps: 1e-8 }),
    saveConfig: save,
    save,
    dispose() {
      stage.dispose();
      student.dispose();
      for (const model of owned) model.dispose();
    },
  };
}
