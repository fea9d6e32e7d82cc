import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { byteRange, count, duration, numberList, real, whole, withSharedOptions, type ByteRange, type SharedOptions } from '@bytelm/example-shared/cli';
import { readBytes } from '@bytelm/example-shared/train';
import { openTokens } from '../claims/bpe-model.js';
import { jobsOf, VARIANTS, type JobOptions, type Variant } from '../claims/jobs.js';
import { claimsPlot, claimsTable, type Result } from '../claims/report.js';
import { hasResult, resultPath, runJob } from '../claims/run-job.js';
import { windowsOf } from '../claims/score.js';
import { writeBLTConfig, type BLTConfig } from '../config/index.js';
import { BLT_PRESETS } from '../presets.js';

interface ClaimsOptions extends SharedOptions {
  data: string[];
  range: ByteRange;
  testRange: ByteRange;
  tokenizer: string;
  entropyModel: string;
  bytes: number;
  seeds: number[];
  bytesPerPatch: number;
  batch: number;
  length: number;
  localWindow: number;
  windows: number;
  noiseSeeds: number[];
  runs: string;
  out: string;
  variants?: Variant[];
  only?: string;
  list?: boolean;
}

const RESULTS = fileURLToPath(new URL('../../results', import.meta.url));

const EXAMPLES = `
Examples:
  blt claims --list --data books.txt --range 0:8042244 --test-range 8310401:8578450 --tokenizer prose-en-bpe-2048 --entropy-model runs/entropy
  blt claims --data books.txt --range 0:8042244 --test-range 8310401:8578450 --tokenizer prose-en-bpe-2048 --entropy-model runs/entropy --seeds 0

Trains one model a variant and seed (entropy, space and strided patches, one patch a window, no n-grams, BPE tokens of equal FLOPs), each on equally many bytes, and measures all
on the test text: bits per byte, behind a spoiled context, and on spoiled text. Ctrl-C saves; the same command goes on. Results appear as runs end.`;

/** `blt claims` */
export function addClaimsCommand(program: Command): void {
  const command = program.command('claims').description('train small models side by side and say which claims of the paper they bear out').addHelpText('after', EXAMPLES);
  command
    .requiredOption('--data <path...>', 'files and folders of text')
    .requiredOption('--range <start:end>', 'bytes of the data to train on', byteRange)
    .requiredOption('--test-range <start:end>', 'bytes of the data to measure on', byteRange)
    .requiredOption('--tokenizer <folder>', 'with tokenizer.json and tokenizer_config.json, for the model over tokens')
    .requiredOption('--entropy-model <name>', 'a trained entropy model')
    .option('--bytes <number>', 'bytes that each model sees', real(1), 2.5e6)
    .option('--seeds <list>', 'one model a variant and seed', numberList, [0, 1, 2])
    .option('--bytes-per-patch <number>', 'mean patch length; by space it is what it is, 5.7 on English prose', real(1), 5.7)
    .option('--batch <rows>', 'rows of a batch', whole(), 4)
    .option('--length <bytes>', 'bytes of a row', whole(32), 512)
    .option('--local-window <bytes>', 'that encoder and decoder see; the paper has 512 of 8,192, a sixteenth of a row', whole(), 32)
    .option('--windows <number>', 'windows that noise is measured on', whole(), 200)
    .option('--noise-seeds <list>', 'seeds of the noise', numberList, [0])
    .option('--runs <folder>', 'where the trainings are kept', 'runs/claims')
    .option('--out <folder>', 'where table, plot and numbers are written', RESULTS)
    .addOption(new Option('--variants <names...>', 'only these (default: all)').choices(VARIANTS))
    .option('--only <text>', 'only runs whose name contains this')
    .option('--list', 'print what would run, and what has');
  withSharedOptions(command, 'auto').action(run);
}

async function run(options: ClaimsOptions): Promise<void> {
  const { data, range, runs, out, seeds, bytes, bytesPerPatch, batch, length, localWindow, entropyModel, backend } = options;
  mkdirSync(runs, { recursive: true });
  const jobOptions: JobOptions = { data, range: `${range[0]}:${range[1] ?? ''}`, bytes, seeds, bytesPerPatch, backend, runs, entropyModel, batch, length, config: join(runs, 'config.json'), withoutHashes: join(runs, 'without-hashes.json') };
  const jobs = jobsOf(jobOptions).filter((j) => (options.variants ?? VARIANTS).includes(j.variant) && (!options.only || j.name.includes(options.only)));
  if (options.list) {
    for (const job of jobs) process.stdout.write(`${hasResult(runs, job) ? 'done' : '    '} ${job.name}${job.args.length ? `: blt ${job.args.join(' ')}` : ''}\n`);
    return;
  }
  await checkSettings(join(runs, 'settings.json'), { data, range, bytes, bytesPerPatch, batch, length, localWindow });
  await writeFileAtomic(jobOptions.config, `${JSON.stringify(modelConfig(localWindow), null, 1)}\n`);
  await writeFileAtomic(jobOptions.withoutHashes, `${JSON.stringify(modelConfig(localWindow, { sizes: [3], vocabularySize: 1, numFunctions: 1 }), null, 1)}\n`);
  const tokens = await openTokens(options.tokenizer);
  const windows = windowsOf(await readBytes(data, options.testRange), length);
  const context = { options: jobOptions, tokens, windows, noisy: options.windows, noiseSeeds: options.noiseSeeds };
  for (const [i, job] of jobs.entries()) {
    if (hasResult(runs, job)) continue;
    const begin = performance.now();
    process.stderr.write(`${job.name} (${i + 1} of ${jobs.length})\n`);
    const result = await runJob(job, context);
    if (!result) return void process.stderr.write('stopped; the same command goes on from here\n');
    await writeFileAtomic(resultPath(runs, job), `${JSON.stringify(result, null, 1)}\n`);
    process.stderr.write(`${job.name}: ${result.bitsPerByte.toFixed(4)} bits per byte, ${result.bytesPerPatch.toFixed(2)} bytes per patch, ${duration((performance.now() - begin) / 1000)}\n`);
    await writeResults(out, jobs, options);
  }
  await writeResults(out, jobs, options);
  process.stdout.write(`${readFileSync(join(out, 'claims.md'), 'utf8')}`);
}

/** Runs of other settings are not to be compared with these. */
async function checkSettings(file: string, settings: object): Promise<void> {
  const own = JSON.stringify(settings);
  if (existsSync(file) && JSON.stringify(JSON.parse(readFileSync(file, 'utf8'))) !== own) throw new ConfigError(`[claims] ${file}: the runs there were made with ${readFileSync(file, 'utf8').trim()}, not with ${own}. Hint: another folder for --runs.`);
  await writeFileAtomic(file, `${own}\n`);
}

/** The tiny model with local layers that see so many bytes; one row a hash table: n-grams that all look alike. */
function modelConfig(window: number, hash?: BLTConfig['hash']): object {
  const { config } = BLT_PRESETS['blt-tiny']!;
  return writeBLTConfig({ ...config, entropyModel: null, encoder: { ...config.encoder, window }, decoder: { ...config.decoder, window }, ...(hash && { hash }) }, 'original').config;
}

async function writeResults(out: string, jobs: readonly { name: string }[], { runs, bytes, length, localWindow, testRange, seeds }: ClaimsOptions): Promise<void> {
  const results = jobs.filter((j) => hasResult(runs, j)).map((j) => JSON.parse(readFileSync(resultPath(runs, j), 'utf8')) as Result);
  if (!results.length) return;
  mkdirSync(out, { recursive: true });
  const head = `# Claims of the paper at small scale\n\n${count(bytes)} bytes of training text a model in rows of ${length}, local layers that see ${localWindow} bytes, seeds ${seeds.join(', ')}; measured on bytes ${testRange[0]}:${testRange[1] ?? ''} in windows with half of each as context. Made by \`pnpm blt claims\`.\n\n![bits per byte](claims.svg)\n`;
  await writeFileAtomic(join(out, 'claims.md'), `${head}\n${claimsTable(results)}\n`);
  await writeFileAtomic(join(out, 'claims.json'), `${JSON.stringify(results, null, 1)}\n`);
  await writeFileAtomic(join(out, 'claims.svg'), await claimsPlot(results));
}
