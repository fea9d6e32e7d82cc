import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mergeFolders, runByteify, runCompress, type ByteifyReport, type CompressReport } from '@bytelm/example-bolmo';
import type { ByteRange } from '@bytelm/example-shared/cli';
import { bytesOf, type Recipe, type StudentTraining } from '../recipe.js';
import type { Context, Phase } from './phase.js';
import { ceilingOf, type BoundaryCeiling } from './boundary-ceiling.js';
import { saveHalved } from './save-halved.js';
import { scoreStudentFolder, scoreTeacherFolder, type StudentScores, type TeacherScores } from './score.js';
import { makeSpellingText, scoreSpelling, type SpellingScores } from './spelling.js';
import { otherRanges } from './texts.js';
import { trainingOptions, trainSource } from './train-teacher.js';

export interface TeacherResult {
  scores: TeacherScores;
  bytesSeen: number;
}

export interface StudentResult {
  report: ByteifyReport;
  /** On the test texts; of stage 1 when there was one. */
  stage1: StudentScores | null;
  stage2: StudentScores;
}

export interface CompressResult {
  target: number;
  report: CompressReport;
  scores: StudentScores;
}

export interface ModelResult {
  /** Of the weight file. */
  bytes: number;
  scores: StudentScores;
}

export interface MergeResult {
  scores: StudentScores;
  changed: number;
  untouched: number;
}

const range = ([start, end]: readonly [number, number | null]): string => `${start}:${end ?? ''}`;

const teacher: Phase = {
  name: 'teacher',
  title: 'a teacher over BPE tokens',
  needs: [],
  async run(folder, { recipe }): Promise<TeacherResult | undefined> {
    const { data, teacher: t } = recipe;
    const isDone = await trainSource(folder, [
      ...['--preset', t.preset, '--tokenizer', recipe.tokenizer, '--data', ...data.files, '--range', range(data.range), '--valid-range', range(data.validRange)],
      ...['--warmup', String(t.warmup), '--decay', String(t.decay), ...trainingOptions(recipe, t)],
    ]);
    return isDone ? { scores: await scoreTeacherFolder(folder, recipe), bytesSeen: bytesOf(t) } : undefined;
  },
};

/** One cache of tokens for all phases, beside their folders. */
const cacheOf = (folder: string): string => join(dirname(folder), 'tokens');

/** What every training of a student has in common. */
const common = ({ data, seed, backend, scoreBytes }: Recipe, out: string, { batch, patches }: StudentTraining) => ({
  out,
  data: data.files,
  range: data.range,
  validRange: data.validRange,
  reportBytes: scoreBytes,
  seed,
  backend,
  batch,
  patches,
  evalEvery: 100,
  saveEvery: 100,
  keep: 1,
  tokenCache: cacheOf(out),
});

const byteifySettings = (recipe: Recipe, folder: string, teacherFolder: string) => {
  const { local, stage1, stage2 } = recipe;
  return {
    ...common(recipe, folder, stage2),
    teacher: teacherFolder,
    teacherBytes: bytesOf(recipe.teacher),
    localEncoderLayers: local.encoderLayers,
    localDecoderLayers: local.decoderLayers,
    localHeads: local.heads,
    localIntermediate: local.intermediate,
    stage1Bytes: stage1.bytes,
    stage2Bytes: stage2.bytes,
    stage1Lr: stage1.lr,
    stage2Lr: stage2.lr,
    stage2GlobalLr: stage2.globalLr ?? null,
    weights: stage1.weights,
    stage2Weights: stage2.weights,
    boundaryThreshold: recipe.boundaryThreshold,
    encoderBlocks: stage1.encoderBlocks,
  };
};

/** Go on where there is something to go on with. */
const going = (folder: string) => ({ resume: ['byteify.json', 'compress.json'].some((f) => existsSync(join(folder, f))) });

const student: Phase = {
  name: 'student',
  title: 'byteification, stage 1 and stage 2',
  needs: ['teacher'],
  async run(folder, { recipe, folderOf }): Promise<StudentResult | undefined> {
    const report = await runByteify(byteifySettings(recipe, folder, folderOf('teacher')), going(folder));
    if (!report) return undefined;
    return { report, stage1: await scoreStudentFolder(join(folder, 'stage1'), recipe), stage2: await scoreStudentFolder(folder, recipe) };
  },
};

const control: Phase = {
  name: 'control',
  title: 'control: the same student without stage 1, for as many FLOPs',
  needs: ['teacher'],
  async run(folder, { recipe, folderOf }): Promise<StudentResult | undefined> {
    // The FLOPs of the stage that is left out go to the other one.
    const report = await runByteify({ ...byteifySettings(recipe, folder, folderOf('teacher')), skipStage1: true }, going(folder));
    return report && { report, stage1: null, stage2: await scoreStudentFolder(folder, recipe) };
  },
};

/** More of stage 2. */
const furtherSettings = (recipe: Recipe, model: string, out: string, training: StudentTraining) => ({
  ...common(recipe, out, training),
  model,
  bytes: training.bytes,
  lr: training.lr,
  globalLr: training.globalLr ?? null,
});

/** Labels that are longer already are left as they are: stage 2 goes on as it was. */
const NO_MERGES = { start: 1.01, target: 1.02 } as const;

/** As much text as short trainings need: cutting all of it into tokens would take as long as they do. */
const beginning = ({ data: { range: [start, end] }, compress: { bytes } }: Recipe): ByteRange => [start, end && Math.min(end, start + 4 * bytes)];

const compress = (index: number, factor: number): Phase => ({
  name: `compress-${index + 1}`,
  title: `compression to ${factor} times the bytes a patch`,
  needs: ['student'],
  async run(folder, { recipe, folderOf, resultOf }): Promise<CompressResult | undefined> {
    const target = factor * resultOf<StudentResult>('student').stage2.test.bytesPerPatch.tokenizer;
    const aim = factor > 1 ? { target } : NO_MERGES;
    const settings = furtherSettings(recipe, folderOf('student'), folder, recipe.compress);
    const { boundaryThreshold } = recipe.compress;
    const report = await runCompress({ ...settings, boundaryThreshold, range: beginning(recipe), ...aim }, going(folder));
    return report && { target, report, scores: await scoreStudentFolder(folder, recipe) };
  },
});

const tuned: Phase = {
  name: 'tuned',
  title: 'the teacher fine-tuned on another kind of text',
  needs: ['teacher'],
  async run(folder, { recipe, folderOf }): Promise<TeacherResult | undefined> {
    const { tune, other } = recipe;
    // What its tables would learn could not be merged: the student has others.
    const data = ['--data', other.file, '--range', range(otherRanges(recipe).train), '--eval-every', '0'];
    const isDone = await trainSource(folder, ['--init', folderOf('teacher'), '--table-lr', '0', ...trainingOptions(recipe, tune), ...data]);
    return isDone ? { scores: await scoreTeacherFolder(folder, recipe), bytesSeen: bytesOf(tune) } : undefined;
  },
};

const merged: Phase = {
  name: 'merged',
  title: 'what the fine-tuning changed, merged into the student',
  needs: ['student', 'tuned'],
  async run(folder, { recipe, folderOf }): Promise<MergeResult> {
    // It takes seconds: what an earlier attempt left is not looked at.
    rmSync(join(folder, 'model.safetensors'), { force: true });
    const { changed, untouched } = await mergeFolders({ model: folderOf('student'), base: folderOf('teacher'), tuned: folderOf('tuned'), out: folder });
    return { scores: await scoreStudentFolder(folder, recipe), changed: changed.length, untouched: untouched.length };
  },
};

const spellingTeacher: Phase = {
  name: 'spelling-teacher',
  title: 'spelling: the teacher, on text with lines about spelling',
  needs: ['teacher'],
  async run(folder, context): Promise<SpellingScores | undefined> {
    const { recipe, folderOf } = context;
    const file = await makeSpellingText(folder, recipe);
    const isDone = await trainSource(folder, ['--init', folderOf('teacher'), '--data', file, ...trainingOptions(recipe, recipe.spelling.teacher), '--eval-every', '0']);
    return isDone ? scoreSpelling('teacher', folderOf('teacher'), folder, recipe) : undefined;
  },
};

const spellingStudent: Phase = {
  name: 'spelling-student',
  title: 'spelling: the student, on the same text',
  needs: ['student'],
  async run(folder, { recipe, folderOf }): Promise<SpellingScores | undefined> {
    const file = await makeSpellingText(folder, recipe);
    const settings = furtherSettings(recipe, folderOf('student'), folder, recipe.spelling.student);
    const report = await runCompress({ ...settings, data: [file], range: null, validRange: null, ...NO_MERGES }, going(folder));
    return report ? scoreSpelling('student', folderOf('student'), folder, recipe) : undefined;
  },
};

const model: Phase = {
  name: 'model',
  title: 'the student in bfloat16',
  needs: ['student'],
  async run(folder, { recipe, folderOf }): Promise<ModelResult> {
    const bytes = await saveHalved(folderOf('student'), folder);
    return { bytes, scores: await scoreStudentFolder(folder, recipe) };
  },
};

const ceiling: Phase = {
  name: 'ceiling',
  title: "how well one byte ahead can tell the tokenizer's boundaries at all",
  needs: [],
  run: (_folder, { recipe }): Promise<BoundaryCeiling> => ceilingOf(recipe),
};

/** All phases, the most telling first. */
export const phasesOf = ({ compress: { targets } }: Recipe): Phase[] => [
  teacher,
  student,
  model,
  spellingTeacher,
  spellingStudent,
  tuned,
  merged,
  control,
  ...targets.map((factor, i) => compress(i, factor)),
  ceiling,
];

export type { BoundaryCeiling, Context };
