import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError, ConfigError } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { scoreMerges, teacherOf, type MergeOrder } from '@bytelm/distill';
import { flopsPerByte } from '../flops.js';
import { loadSourceLM, openSource, type SourceLM } from '@bytelm/example-olmo';
import { startBackend } from '@bytelm/example-shared/cli';
import { readJsonFile } from '@bytelm/example-shared/model';
import { findBolmo, findTokenizer, loadBolmo, tokenizerFolder, type BolmoSource } from '../source.js';
import { emptyStudent, loadedStudent, wholeJob, type StageContext } from './jobs.js';
import { budgetLines, SCORE_HEAD, scoreRows, table } from './report.js';
import { budgetOf, newestWeights, runStage, type Budget, type RunControl } from './run-stage.js';
import { copyFile, saveConfigFiles } from './save-student.js';
import { scoreOf, scoreStudent, type Score } from './score.js';
import { checkStageSettings, lengthProblems, publishedRates, runSettings, stage2Losses, STAGE_DEFAULTS, type LossName, type StageSettings } from './settings.js';
import { bytesPerStep, bytesPerToken, heldOutTokens, readStageText } from './tokens.js';

/** Which neighbours become one patch first. */
export const MERGE_RULES = ['bpe', 'entropy', 'cross-entropy'] as const;
export type MergeRule = (typeof MERGE_RULES)[number];

export interface CompressSettings extends StageSettings {
  /** Folder of a byteified model, with its subword tokenizer. */
  model: string;
  /** Bytes per patch of the labels at the end; what the model then does is less, since its losses pull both ways. */
  target: number;
  /** At the beginning; `null`: what the tokenizer has. */
  start: number | null;
  merge: MergeRule;
  /** A subword model with the same tokenizer that says how hard tokens are to tell; for all rules but `bpe`. */
  auxiliary: string | null;
  bytes: number | null;
  steps: number | null;
  lr: number | null;
  /** Of the main network; `null`: half of `lr`. */
  globalLr: number | null;
  loss: LossName;
}

export const COMPRESS_DEFAULTS = { ...STAGE_DEFAULTS, start: null, merge: 'bpe', auxiliary: null, bytes: null, steps: null, lr: null, globalLr: null, loss: 'exact' } as const satisfies Partial<CompressSettings>;

export interface CompressReport {
  target: number;
  /** The model as it was, and as it is; true boundaries are the tokenizer's in both. */
  before: Score;
  after: Score;
  budget: Budget;
  heldOut: { bytes: number; patches: number };
  seed: number;
  settings: CompressSettings;
}

interface Plan {
  settings: CompressSettings;
  steps: number;
  lr: number;
  mainRate: number;
  start: number;
  flopsPerByte: number;
}

export type CompressStart = Pick<CompressSettings, 'model' | 'data' | 'target'> & Partial<CompressSettings> & { out: string };

const DEFAULT_STEPS = 500;

/**
 * Trains a byteified model towards longer patches: stage 2 once more, with boundary labels thinned out more and more. `out` is laid out as
 * byteify's, with `compress.json` and one stage.
 * @returns the report; `undefined` when it was stopped before.
 * @throws BytelmError
 * @source Bolmo, arXiv 2512.15586, section 5.1.
 */
export async function runCompress(start: CompressStart | { out: string }, control: RunControl = {}): Promise<CompressReport | undefined> {
  const { out } = start;
  const stored = control.resume ? readStored(out) : undefined;
  const reported = join(out, 'report.json');
  if (stored && existsSync(reported)) return readJsonFile(reported) as CompressReport;
  if (!stored && existsSync(join(out, 'compress.json'))) throw new CheckpointError(`[compress] ${out}: it already holds a run. Hint: --resume continues it; another --out starts anew.`);
  const settings = stored?.settings ?? settingsOf(start as CompressStart);
  const found = await findBolmo(settings.model);
  const source = withThreshold(found, settings.boundaryThreshold);
  if (!source.weights) throw new ConfigError(`[compress] ${settings.model}: expected a byteified model with weights, got a preset. Hint: byteify makes one.`);
  const tokenizer = await findTokenizer(source);
  const text = await readStageText(settings, tokenizer, out);
  const plan = stored ?? planOf(settings, source, bytesPerStep(settings, text.train), bytesPerToken(text.train));
  if (!stored) {
    mkdirSync(out, { recursive: true });
    await writeFileAtomic(join(out, 'compress.json'), `${JSON.stringify(plan, null, 1)}\n`);
  }
  const backend = await startBackend(settings.backend);
  const context: StageContext = { settings, raw: source.config.raw, tokenizer, tokenizerFolder: await tokenizerFolder(source), text, backend };
  const folder = join(out, 'compress');
  const job = async (resumed: boolean) => {
    const auxiliary = settings.auxiliary === null ? undefined : await loadSourceLM(await openSource(settings.auxiliary));
    const compression = { start: plan.start, target: settings.target, batches: plan.steps * settings.accumulate, merges: mergesOf(settings.merge, auxiliary) };
    const student = resumed ? emptyStudent(context) : await loadBolmo(source);
    return wholeJob(context, student, { losses: stage2Losses(settings), mainRate: plan.mainRate, compression, owned: auxiliary ? [auxiliary] : [] });
  };
  if (!(await runStage({ name: 'compress', folder, settings: runSettings(settings, plan), backend, control, stepsBefore: 0, job }))) return undefined;
  const report = await makeReport(context, found, plan, folder);
  await saveConfigFiles(out, context.raw, context.tokenizerFolder);
  await copyFile(await newestWeights(folder), join(out, 'model.safetensors'));
  await writeFileAtomic(reported, `${JSON.stringify(report, null, 1)}\n`);
  return report;
}

async function makeReport(context: StageContext, source: BolmoSource, plan: Plan, folder: string): Promise<CompressReport> {
  const { settings } = plan;
  const { patches, batch, reportBytes } = settings;
  const tokens = heldOutTokens(context.text.heldOut.subarray(0, reportBytes), context.tokenizer);
  const scores: Score[] = [];
  let bytes = 0;
  for (const load of [() => loadBolmo(source), async () => loadedStudent(context, await newestWeights(folder))]) {
    const student = await load();
    const score = await scoreStudent(student, context.tokenizer, tokens, { patches, batch }).finally(() => student.dispose());
    scores.push(scoreOf(score));
    bytes = score.bytes;
  }
  return { target: settings.target, before: scores[0]!, after: scores[1]!, budget: budgetOf(folder, plan.flopsPerByte), heldOut: { bytes, patches }, seed: settings.seed, settings };
}

export function compressText({ target, before, after, budget, heldOut }: CompressReport): string {
  return [
    table([[...SCORE_HEAD], ...scoreRows([['before', before], ['after', after]], undefined)]),
    '',
    `labels were thinned out to ${target} bytes per patch (${before.bytesPerPatch.tokenizer.toFixed(2)} per token)`,
    ...budgetLines([['compress', budget]]),
    `scored: ${heldOut.bytes} held-out bytes in windows of ${heldOut.patches} tokens; "true" boundaries are those of single tokens`,
  ].join('\n');
}

/** The same model, cutting by another rule. */
function withThreshold(source: BolmoSource, threshold: CompressSettings['boundaryThreshold']): BolmoSource {
  const { config } = source;
  return threshold ? { ...source, config: { ...config, threshold, raw: { ...config.raw, boundary_threshold: threshold } } } : source;
}

function mergesOf(rule: MergeRule, auxiliary: SourceLM | undefined): 'frequency' | MergeOrder {
  return rule === 'bpe' ? 'frequency' : scoreMerges(teacherOf(auxiliary!), rule === 'entropy' ? 'entropy' : 'crossEntropy');
}

function readStored(out: string): Plan {
  const path = join(out, 'compress.json');
  if (!existsSync(path)) throw new CheckpointError(`[compress] ${path}: expected the file of an earlier run, there is none. Hint: --resume goes on with a run in --out.`);
  return readJsonFile(path) as Plan;
}

function settingsOf({ out: _, ...given }: CompressStart): CompressSettings {
  const { model, data, target } = given;
  const settings: CompressSettings = { ...COMPRESS_DEFAULTS, ...Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined)), model, data, target };
  const { merge, auxiliary, bytes, steps } = settings;
  checkStageSettings('compress', settings, [
    ...lengthProblems('length', bytes, steps),
    ...(target > 1 ? [] : [`target: expected more than 1 byte per patch, got ${target}`]),
    ...(merge !== 'bpe' && auxiliary === null ? [`merge ${merge}: expected --auxiliary, a subword model with the same tokenizer`] : []),
    ...(merge === 'bpe' && auxiliary !== null ? ['merge bpe: it goes by frequency alone, got an auxiliary model as well'] : []),
  ]);
  return settings;
}

function planOf(settings: CompressSettings, { config }: BolmoSource, perStep: number, perToken: number): Plan {
  const { bytes, steps, target, patches } = settings;
  const start = settings.start ?? perToken;
  if (target <= start) throw new ConfigError(`[compress] target: expected more than the ${start.toFixed(2)} bytes per patch at the beginning, got ${target}.`);
  const lr = settings.lr ?? publishedRates(config.body.dModel).stage2;
  return {
    settings,
    steps: steps ?? (bytes === null ? DEFAULT_STEPS : Math.max(1, Math.floor(bytes / perStep))),
    lr,
    mainRate: settings.globalLr === null ? 0.5 : settings.globalLr / lr,
    start,
    // On the way from start to target.
    flopsPerByte: 3 * flopsPerByte(config, { bytesPerPatch: (start + target) / 2, from: 0, to: patches * perToken }),
  };
}
