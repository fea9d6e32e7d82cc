import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { ConfigError, Rng, type HasParameters } from '@bytelm/core';
import { AdamW, groupParameters } from '@bytelm/core/train';
import { SubwordTokenizer } from '@bytelm/distill';
import { real } from '@bytelm/example-shared/cli';
import { addTrainCommand, type TrainOptions, type TrainParts, type TrainStart } from '@bytelm/example-shared/commands';
import { checkRunSettings, RUN_DEFAULTS, type RunSettings, type TrainJob } from '@bytelm/example-shared/train';
import { fromHfConfig } from '../config.js';
import { evaluateText } from '../evaluate-text.js';
import { createSourceLM, type SourceLM } from '../model.js';
import { OLMO_PRESETS, presetConfig } from '../presets.js';
import { saveSourceLM } from '../save.js';
import { loadSourceLM, loadTokenizer, openSource } from '../source.js';
import { decodeText } from '../train/decode-text.js';
import { openTokenBatches } from '../train/token-batches.js';

interface OlmoTrainSettings extends RunSettings {
  /** Multiplies the rate of embedding table and head; 0: they stay as they are. */
  tableLr: number;
}

interface OlmoTrainOptions extends TrainOptions {
  tokenizer?: string;
  tableLr?: number;
  tokenCache?: string;
}

const DEFAULTS = { ...RUN_DEFAULTS, length: 1024, lr: 3e-3, warmup: 0.05, tableLr: 1 } as const;

const PARTS: TrainParts<OlmoTrainSettings, OlmoTrainOptions> = {
  program: 'olmo',
  description: 'train a small OLMo on your text, or train one further',
  examples: `
Examples:
  olmo train --tokenizer prose-en-bpe-2048 --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --steps 2000 --out runs/teacher
  olmo train --init runs/teacher --data plays.txt --lr 5e-4 --steps 200 --out runs/tuned
  olmo train --resume --out runs/teacher

Rows begin with the token that ends documents, as the teacher of a byteification is fed. The folder gets the tokenizer's files, too.`,
  defaults: DEFAULTS,
  addOptions,
  next: (out) => `generate --model ${out} --prompt "The "`,
  fresh,
  resumed(options, stored, _config, given) {
    if (options.tokenizer) throw new ConfigError(`[train] --resume: the tokenizer is the one of the run, got --tokenizer ${options.tokenizer} as well. Hint: leave it out, or start a new run.`);
    return startFrom(options.out, { ...stored, ...given }, cacheOf(options));
  },
};

/** `olmo train` */
export const addTrainOlmoCommand = (program: Command): void => addTrainCommand(program, PARTS);

function addOptions(command: Command): void {
  command
    .option('--preset <name>', `sizes to start from: ${Object.keys(OLMO_PRESETS).join(', ')} (default: tiny)`)
    .option('--config <file>', 'a published config.json of OLMo 2, Olmo 3 or Llama')
    .option('--init <model>', 'start from the weights and the tokenizer of a folder or Hugging Face id')
    .option('--tokenizer <folder>', 'with tokenizer.json, for a model from scratch')
    .option('--table-lr <factor>', `multiplies the rate of embedding table and head; 0 leaves them as they are, so that all that is learned can be merged into a byteified model (default: ${DEFAULTS.tableLr})`, real(0))
    .option('--token-cache <folder>', 'where the tokens of the text are kept for the next start (default: --out)');
}

const cacheOf = ({ tokenCache, out }: OlmoTrainOptions): string => tokenCache ?? out;


async function fresh(options: OlmoTrainOptions, given: Partial<OlmoTrainSettings>): Promise<TrainStart<OlmoTrainSettings>> {
  const { preset, config, init, tokenizer } = options;
  const settings: OlmoTrainSettings = { ...DEFAULTS, ...given, data: options.data!, init: init ?? null, seed: options.seed, backend: options.backend };
  checkRunSettings(settings);
  if (init !== undefined) {
    const other = (['preset', 'config', 'tokenizer'] as const).filter((key) => options[key] !== undefined);
    if (other.length) throw new ConfigError(`[train] --init: the model is given by its folder, got --${other.join(', --')} as well.`);
    return startFrom(init, settings, cacheOf(options));
  }
  if (tokenizer === undefined) throw new ConfigError('[train] --tokenizer: expected a folder with tokenizer.json, got none. Hint: --init continues a model with its own tokenizer.');
  const tokens = await SubwordTokenizer.fromFolder(tokenizer);
  const raw = config === undefined ? presetConfig(presetOf(preset ?? 'tiny'), tokens.vocabulary) : readConfig(config);
  const parsed = fromHfConfig(raw);
  tokens.vocabulary.checkFits(parsed.vocabSize, config ?? preset ?? 'tiny');
  const job = async () => jobOf({ model: createSourceLM(parsed, new Rng(settings.seed)), raw, tokens, folder: tokenizer, settings, cache: cacheOf(options) });
  return { settings, name: config ?? preset ?? 'tiny', job };
}

/** From the weights of a folder, this run's or another's. */
function startFrom(name: string, settings: OlmoTrainSettings, cache: string): TrainStart<OlmoTrainSettings> {
  const job = async (): Promise<TrainJob> => {
    const source = await openSource(name);
    const { folder, config } = source.files;
    const tokens = await loadTokenizer(source).catch(async (e: unknown) => {
      await source.files.close();
      throw e;
    });
    return jobOf({ model: await loadSourceLM(source), raw: config!, tokens, folder: folder!, settings, cache });
  };
  return { settings, name, job };
}

interface JobParts {
  model: SourceLM;
  /** The `config.json`. */
  raw: Readonly<Record<string, unknown>>;
  tokens: SubwordTokenizer;
  /** Of the tokenizer. */
  folder: string;
  settings: OlmoTrainSettings;
  /** Folder where the tokens of the text are kept. */
  cache: string;
}

function jobOf({ model, raw, tokens, folder, settings, cache }: JobParts): TrainJob {
  const config = fromHfConfig(raw);
  let rowTokens = 0;
  const save = (to: string) => saveSourceLM(to, model, raw, folder);
  return {
    model,
    async open() {
      const data = await openTokenBatches(settings, { tokenizer: tokens, config, cache });
      rowTokens = data.length;
      return data;
    },
    async evaluate(valid) {
      const { bitsPerByte } = await evaluateText(model, tokens, config, decodeText(valid, 'the held-out part'), { window: rowTokens, stride: rowTokens, batch: settings.batch });
      return { bitsPerByte };
    },
    optimizer: () => optimizerOf(model, settings),
    saveConfig: save,
    save,
    dispose: () => model.dispose(),
  };
}

/** AdamW that spares norms and the embedding. Runs of before `tableLr` have none. */
function optimizerOf(model: HasParameters, { weightDecay, tableLr = 1 }: Pick<OlmoTrainSettings, 'weightDecay'> & { tableLr?: number }): AdamW {
  const groups = groupParameters(model.parameters(), (name, v) => {
    const isTable = /^(model\.embed_tokens|lm_head)\./.test(name);
    const decays = v.rank > 1 && !name.includes('embed_tokens') && !(isTable && tableLr === 0);
    return { weightDecay: decays ? weightDecay : 0, lrMultiplier: isTable ? tableLr : 1 };
  });
  return new AdamW(groups, { betas: [0.9, 0.95], eps: 1e-8 });
}

function presetOf(name: string) {
  if (!Object.hasOwn(OLMO_PRESETS, name)) throw new ConfigError(`[train] --preset ${name}: expected one of ${Object.keys(OLMO_PRESETS).join(', ')}.`);
  return OLMO_PRESETS[name]!;
}

function readConfig(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  } catch (e) {
    throw new ConfigError(`[train] --config ${file}: it cannot be read as JSON (${(e as Error).message}). Hint: name a config.json.`);
  }
}
