import { fileURLToPath } from 'node:url';
import type { StageLossWeights } from '@bytelm/distill';
import type { ByteifySettings } from '@bytelm/example-bolmo';
import type { BackendChoice, ByteRange } from '@bytelm/example-shared/cli';
import type { WordListTask } from '@bytelm/example-shared/spelling';

/** A training over tokens: so many updates of so many rows. */
export interface Training {
  steps: number;
  batch: number;
  /** Bytes of a row. */
  length: number;
  lr: number;
}

/** A training of a byte model that knows its tokens. */
export interface StudentTraining {
  /** Of text, in all. */
  bytes: number;
  batch: number;
  /** Tokens of a row. */
  patches: number;
  lr: number;
  /** Of the layers that were the teacher's. */
  globalLr?: number;
}

/** Everything that decides what a run computes; kept as `recipe.json`. */
export interface Recipe {
  name: string;
  seed: number;
  backend: BackendChoice;
  /** The text, and the bytes of it to train on, to watch, and to report on. */
  data: { files: string[]; range: ByteRange; validRange: ByteRange; testRange: ByteRange };
  /** Another kind of text, to fine-tune the teacher on: the first `share` of it; reported on the rest. */
  other: { file: string; share: number };
  tokenizer: string;
  /** Bytes that every model is reported on, of each text. */
  scoreBytes: number;
  teacher: Training & { preset: string; warmup: number; decay: number };
  /** Layers around the teacher's. */
  local: { encoderLayers: number; decoderLayers: number; heads: number; intermediate: number };
  /** When the student's predictor cuts; absent: as published. */
  boundaryThreshold?: ByteifySettings['boundaryThreshold'];
  /** With the weights of losses in place of the published ones, and the layers that patches are compared behind. Recipes of before have neither. */
  stage1: StudentTraining & { weights?: Partial<StageLossWeights>; encoderBlocks?: number };
  stage2: StudentTraining & { weights?: Partial<StageLossWeights> };
  compress: StudentTraining & {
    /** Bytes a patch, as multiples of the tokenizer's. */
    targets: readonly number[];
    /** When its predictor cuts; absent: as the student's. */
    boundaryThreshold?: ByteifySettings['boundaryThreshold'];
  };
  tune: Training;
  spelling: {
    tasks: readonly WordListTask[];
    /** Lines of training, among `textBytes` of the text. */
    lines: number;
    textBytes: number;
    /** Items of each task to answer. */
    rows: number;
    teacher: Training;
    student: StudentTraining;
  };
}

/** What a run is told; the rest of a recipe is how long it trains. */
export type RecipeData = Pick<Recipe, 'seed' | 'backend' | 'data' | 'other' | 'tokenizer'>;

const at = (path: string) => fileURLToPath(new URL(`../../data/${path}`, import.meta.url));

/** The sample texts of the repository. */
export const SAMPLE = { text: at('prose.txt'), other: at('verse.txt'), tokenizer: at('prose-en-bpe-2048'), cute: at('cute') } as const;

const rows = (steps: number, lr: number, batch: number, length: number): Training => ({ steps, batch, length, lr });
/** Of the rates, the teacher's layers get half, as published. */
const bytes = (megabytes: number, lr: number, batch: number, patches: number): StudentTraining => ({ bytes: Math.round(1e6 * megabytes), batch, patches, lr, globalLr: lr / 2 });

/**
 * Few updates have to teach the decoder what the teacher's head knows: it learns whole distributions, not the bytes that happened to come, and
 * patches are compared behind two of the five layers, with half the published weight (results/tuning.md).
 */
const WHOLE_DISTRIBUTIONS = { weights: { byteDistill: 1, crossEntropy: 0, encoder: 2 }, encoderBlocks: 2 } as const;

/** A boundary too few costs the student more than one too many; so it cuts about as often as the tokenizer, not seldomer (results/tuning.md). */
const CUT_MORE_OFTEN = { boundaryThreshold: 'above:0.3' } as const;

/** An hour to an hour and a quarter on two idle cores, by the best rates seen; the whole was not timed on an idle machine. */
const full = (given: RecipeData): Recipe => ({
  name: 'full',
  ...given,
  scoreBytes: 65_536,
  teacher: { ...rows(1280, 3e-3, 8, 1024), preset: 'tiny', warmup: 0.0781, decay: 0.2 },
  local: { encoderLayers: 1, decoderLayers: 2, heads: 3, intermediate: 264 },
  stage1: { ...bytes(2.6, 5e-3, 4, 160), ...WHOLE_DISTRIBUTIONS },
  ...CUT_MORE_OFTEN,
  stage2: { ...bytes(2.6, 1.2e-3, 4, 160), weights: { byteDistill: 1 } },
  compress: { ...bytes(0.25, 1e-3, 8, 160), targets: [1, 1.5, 2], boundaryThreshold: 'sample:0' },
  tune: rows(100, 1e-3, 4, 1024),
  spelling: { tasks: ['spell', 'spell_inverse'], lines: 10_000, textBytes: 600_000, rows: 100, teacher: rows(122, 2e-3, 8, 1024), student: bytes(1, 2e-3, 4, 160) },
});

/** A few minutes: the same phases on far too little text. */
const quick = (given: RecipeData): Recipe => ({
  name: 'quick',
  ...given,
  scoreBytes: 8192,
  teacher: { ...rows(200, 5e-3, 8, 512), preset: 'micro', warmup: 0.05, decay: 0.2 },
  local: { encoderLayers: 1, decoderLayers: 1, heads: 2, intermediate: 64 },
  stage1: { ...bytes(0.16, 5e-3, 8, 80), ...WHOLE_DISTRIBUTIONS },
  ...CUT_MORE_OFTEN,
  stage2: { ...bytes(0.12, 2e-3, 8, 80), weights: { byteDistill: 1 } },
  compress: { ...bytes(0.04, 2e-3, 8, 80), targets: [1, 1.5, 2], boundaryThreshold: 'sample:0' },
  tune: rows(40, 1e-3, 4, 256),
  spelling: { tasks: ['spell', 'contains_char'], lines: 500, textBytes: 60_000, rows: 10, teacher: rows(30, 2e-3, 8, 256), student: bytes(0.06, 2e-3, 8, 80) },
});

/** Recipes by name. */
export const RECIPES = { full, quick } as const satisfies Record<string, (given: RecipeData) => Recipe>;

/** Bytes that a training sees. */
export const bytesOf = ({ steps, batch, length }: Training): number => steps * batch * length;
