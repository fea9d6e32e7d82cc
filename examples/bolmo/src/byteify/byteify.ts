import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError, type BackendInfo } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { loadSourceLM, openSource } from '@bytelm/example-olmo';
import { startBackend } from '@bytelm/example-shared/cli';
import { readJsonFile } from '@bytelm/example-shared/model';
import { parseBolmoConfig } from '../config.js';
import { flopsPerByte, stage1FlopsPerByte, teacherFlopsPerByte } from '../flops.js';
import { emptyStudent, initialStudent, loadedStudent, stage1Job, stage2Job, type StageContext } from './jobs.js';
import type { ByteifyReport } from './report.js';
import { budgetOf, newestWeights, runStage, type RunControl } from './run-stage.js';
import { copyFile, saveConfigFiles } from './save-student.js';
import { scoreOf, scoreStudent, type FullScore } from './score.js';
import { BYTEIFY_DEFAULTS, checkStageSettings, ENCODER_BLOCKS, lengthProblems, publishedRates, runSettings, type ByteifySettings } from './settings.js';
import { bolmoConfigOf, LOCAL_PRESETS } from './student-config.js';
import { bytesSeen, openTeacher, type OpenTeacher } from './teacher.js';
import { bytesPerStep, bytesPerToken, heldOutTokens, readStageText } from './tokens.js';

/** A run's settings with everything decided that they leave open. */
interface Plan {
  settings: ByteifySettings;
  stage1: { steps: number; lr: number } | null;
  stage2: { steps: number; lr: number; mainRate: number };
  flopsPerByte: { stage1: number; stage2: number };
  teacherBytes: number | null;
}

export type ByteifyStart = Pick<ByteifySettings, 'teacher' | 'data'> & Partial<ByteifySettings> & { out: string };

/** Steps of a stage where neither bytes nor steps are given and nobody knows what the teacher has seen. */
const DEFAULT_STEPS = 500;
const TEACHER_SHARE = 0.25;

/**
 * Makes a byte model of a subword model: stage 1, stage 2, a report. `out` holds the model (published names), `byteify.json`, `report.json`
 * and a folder for each stage with its log, curve and checkpoints. With `control.resume` what is left is done, bit for bit as if nothing had
 * happened; settings are then those of the run.
 *
 * @returns the report; `undefined` when it was stopped before.
 * @throws BytelmError
 */
export async function runByteify(start: ByteifyStart | { out: string }, control: RunControl = {}): Promise<ByteifyReport | undefined> {
  const { out } = start;
  const stored = control.resume ? (readStored(out) as Plan) : undefined;
  const reported = join(out, 'report.json');
  if (stored && existsSync(reported)) return readJsonFile(reported) as ByteifyReport;
  if (!stored && existsSync(join(out, 'byteify.json'))) throw new CheckpointError(`[byteify] ${out}: it already holds a run. Hint: --resume continues it; another --out starts anew.`);
  const settings = stored?.settings ?? settingsOf(start as ByteifyStart);
  const teacher = await openTeacher(settings.teacher);
  await teacher.source.files.close();
  const raw = studentConfig(teacher, settings);
  const text = await readStageText(settings, teacher.tokenizer, out);
  const perToken = bytesPerToken(text.train);
  const plan = stored ?? planOf(settings, teacher, raw, { perStep: bytesPerStep(settings, text.train), perToken });
  if (!stored) {
    mkdirSync(out, { recursive: true });
    await writeFileAtomic(join(out, 'byteify.json'), `${JSON.stringify(plan, null, 1)}\n`);
  }
  const backend = await startBackend(settings.backend);
  const context: StageContext = { settings, raw, tokenizer: teacher.tokenizer, tokenizerFolder: teacher.folder, text, backend };
  if (!(await runStages(context, plan, out, control))) return undefined;
  const report = await makeReport(context, plan, out, backend);
  await writeFileAtomic(reported, `${JSON.stringify(report, null, 1)}\n`);
  return report;
}

async function runStages(context: StageContext, { settings, stage1, stage2 }: Plan, out: string, control: RunControl): Promise<boolean> {
  const { backend } = context;
  if (stage1) {
    const job = async (resumed: boolean) => stage1Job(context, resumed ? emptyStudent(context) : await initialStudent(context, settings), settings);
    if (!(await runStage({ name: 'stage 1', folder: join(out, 'stage1'), settings: runSettings(settings, stage1), backend, control, stepsBefore: 0, job }))) return false;
  }
  const begin = async () => (stage1 ? loadedStudent(context, await newestWeights(join(out, 'stage1'))) : initialStudent(context, settings));
  const job = async (resumed: boolean) => stage2Job(context, resumed ? emptyStudent(context) : await begin(), settings, stage2.mainRate);
  if (!(await runStage({ name: 'stage 2', folder: join(out, 'stage2'), settings: runSettings(settings, stage2), backend, control, stepsBefore: stage1?.steps ?? 0, job }))) return false;
  await saveConfigFiles(out, context.raw, context.tokenizerFolder);
  await copyFile(await newestWeights(join(out, 'stage2')), join(out, 'model.safetensors'));
  return true;
}

async function makeReport(context: StageContext, plan: Plan, out: string, backend: BackendInfo): Promise<ByteifyReport> {
  const { settings, teacherBytes } = plan;
  const heldOut = heldOutTokens(context.text.heldOut.subarray(0, settings.reportBytes), context.tokenizer);
  const { patches, batch } = settings;
  const source = await loadSourceLM(await openSource(settings.teacher));
  process.stderr.write(`report: ${heldOut.bytes} held-out bytes on ${backend.name}\n`);
  const scoreFolder = async (folder: string): Promise<{ score: FullScore; parameters: number }> => {
    const student = await loadedStudent(context, await newestWeights(folder));
    try {
      return { score: await scoreStudent(student, context.tokenizer, heldOut, { patches, batch, teacher: source }), parameters: student.numParameters };
    } finally {
      student.dispose();
    }
  };
  try {
    const first = plan.stage1 ? (await scoreFolder(join(out, 'stage1'))).score : null;
    const { score, parameters } = await scoreFolder(join(out, 'stage2'));
    const stage1 = plan.stage1 ? budgetOf(join(out, 'stage1'), plan.flopsPerByte.stage1) : null;
    const stage2 = budgetOf(join(out, 'stage2'), plan.flopsPerByte.stage2);
    return {
      teacher: { name: settings.teacher, bitsPerByte: score.teacher!, bytesSeen: teacherBytes },
      afterStage1: first && scoreOf(first),
      student: scoreOf(score),
      budget: { stage1, stage2, shareOfTeacher: teacherBytes === null ? null : ((stage1?.bytes ?? 0) + stage2.bytes) / teacherBytes },
      heldOut: { bytes: score.bytes, patches },
      parameters,
      seed: settings.seed,
      settings,
    };
  } finally {
    source.dispose();
  }
}

function readStored(out: string): unknown {
  const path = join(out, 'byteify.json');
  if (!existsSync(path)) throw new CheckpointError(`[byteify] ${path}: expected the file of an earlier run, there is none. Hint: --resume goes on with a run in --out.`);
  return readJsonFile(path);
}

function settingsOf({ out: _, ...given }: ByteifyStart): ByteifySettings {
  const settings: ByteifySettings = { ...BYTEIFY_DEFAULTS, ...Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)), teacher: given.teacher, data: given.data };
  const { stage1Bytes, stage1Steps, stage2Bytes, stage2Steps } = settings;
  checkStageSettings('byteify', settings, [...lengthProblems('stage 1', stage1Bytes, stage1Steps), ...lengthProblems('stage 2', stage2Bytes, stage2Steps)]);
  return settings;
}

function studentConfig({ raw, tokenizer }: OpenTeacher, s: ByteifySettings): Record<string, unknown> {
  const preset = LOCAL_PRESETS[s.preset];
  return bolmoConfigOf(raw, {
    subwords: tokenizer.vocabulary.size,
    encoderLayers: s.localEncoderLayers ?? preset.encoderLayers,
    decoderLayers: s.localDecoderLayers ?? preset.decoderLayers,
    numHeads: s.localHeads ?? undefined,
    dIntermediate: s.localIntermediate ?? undefined,
    threshold: s.boundaryThreshold,
  });
}

/** How long each stage is and at which rate; without stage 1 its FLOPs go to stage 2, so that both ways cost the same. */
function planOf(settings: ByteifySettings, teacher: OpenTeacher, raw: Record<string, unknown>, { perStep, perToken }: { perStep: number; perToken: number }): Plan {
  const config = parseBolmoConfig(raw);
  const rates = publishedRates(config.body.dModel);
  const teacherBytes = settings.teacherBytes ?? bytesSeen(settings.teacher);
  const options = { bytesPerPatch: perToken, from: 0, to: settings.patches * perToken };
  const flops = {
    stage1: stage1FlopsPerByte(config, { ...options, teacherVocabSize: teacher.config.vocabSize, encoderBlocks: Math.min(settings.encoderBlocks ?? ENCODER_BLOCKS, config.body.numLayers) }),
    stage2: 3 * flopsPerByte(config, options) + (settings.stage2Weights?.byteDistill ? teacherFlopsPerByte(config, { ...options, teacherVocabSize: teacher.config.vocabSize }) : 0),
  };
  const stepsOf = (bytes: number | null, steps: number | null): number => {
    if (steps !== null) return steps;
    const wanted = bytes ?? (teacherBytes === null ? DEFAULT_STEPS * perStep : TEACHER_SHARE * teacherBytes);
    return Math.max(1, Math.floor(wanted / perStep));
  };
  const first = stepsOf(settings.stage1Bytes, settings.stage1Steps);
  const second = stepsOf(settings.stage2Bytes, settings.stage2Steps) + (settings.skipStage1 ? Math.round((first * flops.stage1) / flops.stage2) : 0);
  const lr = settings.stage2Lr ?? rates.stage2;
  return {
    settings,
    stage1: settings.skipStage1 ? null : { steps: first, lr: settings.stage1Lr ?? rates.stage1 },
    stage2: { steps: second, lr, mainRate: settings.stage2GlobalLr === null ? 0.5 : settings.stage2GlobalLr / lr },
    flopsPerByte: flops,
    teacherBytes,
  };
}

