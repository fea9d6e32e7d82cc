import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { ConfigError, DataError } from '@bytelm/core';
import { openByteFiles } from '@bytelm/core/train';
import { byteRange, withSharedOptions, type ByteRange, type SharedOptions } from '@bytelm/example-shared/cli';
import { recipeFile, runRecipe } from './run-recipe.js';
import { RECIPES, SAMPLE, type Recipe, type RecipeData } from './recipe.js';
import { claimLine } from './report/write.js';

interface Options extends SharedOptions {
  quick?: boolean;
  data?: string[];
  range?: ByteRange;
  validRange?: ByteRange;
  testRange?: ByteRange;
  other: string;
  tokenizer: string;
  out: string;
  resume?: boolean;
  only?: string[];
}

const EXAMPLES = `
Examples:
  pnpm byteify-tiny --quick
  pnpm byteify-tiny --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --test-range 8310401:8578450 --out runs/byteify
  pnpm byteify-tiny --resume --out runs/byteify

Trains a small model over BPE tokens, makes a byte model of it in two stages, lengthens its patches, merges what fine-tuning did to the
teacher, and asks both about spelling. Every phase has a folder below --out; what is done is not repeated. --quick takes minutes and shows
the way, not the result. Ctrl-C saves and stops.`;

/** The one command of this example. */
export function addByteifyTinyCommand(program: Command): void {
  const command = program.command('run', { isDefault: true }).description('teacher, byteification, compression, merging, spelling: everything, with a report').addHelpText('after', EXAMPLES);
  command
    .option('--quick', 'few minutes on the sample text')
    .option('--data <path...>', 'files and folders of text (default: 1.2 MB of prose from this repository)')
    .option('--range <start:end>', 'bytes to train on (default: the first 90 %)', byteRange)
    .option('--valid-range <start:end>', 'bytes to watch the trainings on (default: the next 5 %)', byteRange)
    .option('--test-range <start:end>', 'bytes to report on (default: the last 5 %)', byteRange)
    .option('--other <file>', 'another kind of text, to fine-tune the teacher on', SAMPLE.other)
    .option('--tokenizer <folder>', 'a byte-level BPE with tokenizer.json', SAMPLE.tokenizer)
    .option('--out <folder>', 'where everything is kept', 'runs/byteify-tiny')
    .option('--resume', 'go on in --out, with its recipe')
    .option('--only <phase...>', 'with --resume: only these phases, named as their folders; those that do not need each other may run side by side');
  withSharedOptions(command, 'auto').action(run);
}

async function run(options: Options): Promise<void> {
  const out = resolve(options.out);
  const recipe = options.resume ? storedRecipe(out, options) : await newRecipe(out, options);
  const claims = await runRecipe(out, recipe, options.only);
  if (!claims) process.stderr.write(`stopped; go on with: byteify-tiny --resume --out ${options.out}\n`);
  else process.stdout.write(`${claims.map(claimLine).join('\n')}\n`);
  process.stderr.write(`report: ${join(out, 'report', 'report.md')}, report.html beside it\n`);
}

function storedRecipe(out: string, { data, quick }: Options): Recipe {
  if (!existsSync(recipeFile(out))) throw new DataError(`[byteify-tiny] ${out}: expected a run to resume, there is no recipe.json. Hint: leave --resume out, or name the folder of the run.`);
  if (data || quick) throw new ConfigError('[byteify-tiny] --resume: the recipe is the one of the run. Hint: leave --data and --quick out.');
  return JSON.parse(readFileSync(recipeFile(out), 'utf8')) as Recipe;
}

async function newRecipe(out: string, options: Options): Promise<Recipe> {
  if (existsSync(recipeFile(out))) throw new DataError(`[byteify-tiny] ${out}: it already holds a run. Hint: --resume goes on with it; another --out starts anew.`);
  const files = (options.data ?? [SAMPLE.text]).map((f) => resolve(f));
  const { seed, backend, other, tokenizer } = options;
  const data: RecipeData['data'] = { files, ...(await ranges(files, options)) };
  return RECIPES[options.quick ? 'quick' : 'full']({ seed, backend, data, other: { file: resolve(other), share: 0.85 }, tokenizer: resolve(tokenizer) });
}

/** As given, or by shares of the text. */
async function ranges(files: string[], { range, validRange, testRange }: Options): Promise<Pick<RecipeData['data'], 'range' | 'validRange' | 'testRange'>> {
  const given = [range, validRange, testRange].filter(Boolean).length;
  if (given === 3) return { range: range!, validRange: validRange!, testRange: testRange! };
  if (given) throw new ConfigError('[byteify-tiny] --range, --valid-range, --test-range: expected all three or none of them.');
  const store = await openByteFiles(files);
  const { size } = store;
  await store.close();
  const [a, b] = [Math.floor(0.9 * size), Math.floor(0.95 * size)];
  return { range: [0, a], validRange: [a, b], testRange: [b, size] };
}
