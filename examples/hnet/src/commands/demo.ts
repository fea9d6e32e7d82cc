import { resolve } from 'node:path';
import type { Command } from 'commander';
import { BYTE_VOCABULARIES, type SequenceLM } from '@bytelm/core';
import { bitsPerByte } from '@bytelm/core/evaluation';
import { writeFileAtomic } from '@bytelm/core/io';
import { breathe, compact, count, createProgress, rate, real, startBackend, stopSignal, whole, withSharedOptions } from '@bytelm/example-shared/cli';
import { rowText } from '@bytelm/example-shared/commands';
import { chunkRow, withModelOptions, type ModelOptions } from '@bytelm/example-shared/model';
import { chunksPage, lossCurveSvg, type ChunkRow } from '@bytelm/example-shared/page';
import { continueText } from '@bytelm/example-shared/text';
import { loadModel, saveModel, type HNetSource } from '../checkpoint.js';
import { fineTune } from '../demo/fine-tune.js';
import { readSample, ROW, VERSE, type Sample } from '../demo/sample.js';
import { HNET, sourceOf } from '../family.js';
import { defaultLrMultipliers, defaultRatioTargets } from '../train/settings.js';

interface DemoOptions extends ModelOptions {
  text?: string;
  sentence: string;
  seconds: number;
  bytes: number;
  html: string;
  out?: string;
}

const VOCABULARY = BYTE_VOCABULARIES.hnet;
const SENTENCE = 'The captain said nothing, but the old sailors remembered the storm.';

const EXAMPLES = `
Examples:
  hnet demo
  hnet demo --text my-poems.txt --seconds 120 --out runs/poems`;

/** `hnet demo` */
export function addDemoCommand(program: Command): void {
  const command = program.command('demo').description('in three minutes: chunks, a text, a minute of training on another kind of text, the text again').addHelpText('after', EXAMPLES);
  withModelOptions(command, HNET)
    .option('--text <file>', 'learn from this text (default: verse that comes with the example)')
    .option('--sentence <text>', 'the sentence whose chunks are shown', SENTENCE)
    .option('--seconds <number>', 'how long to train', real(1, 86_400), 60)
    .option('--bytes <number>', 'bytes of each generated text', whole(1, 10_000), 240)
    .option('--html <file>', 'where the page is written', 'hnet-demo.html')
    .option('--out <folder>', 'keep the trained model there');
  withSharedOptions(command, 'wasm').action(demo);
}

const print = (text = ''): void => void process.stdout.write(`${text}\n`);

async function demo(options: DemoOptions): Promise<void> {
  const source = await sourceOf(options);
  const sample = readSample(options.text ?? VERSE, options.text ?? 'verse (Shakespeare)');
  await startBackend(options.backend);
  const ratioTargets = source.ratioTargets ?? defaultRatioTargets(source.config);
  const model = await loadModel(source, { seed: options.seed, ratioTargets });
  print(`H-Net with ${compact(model.numParameters)} parameters: it reads bytes and decides itself where to cut them.`);
  try {
    const before = await look(model, sample, options, '1. Where it cuts a sentence, and how it goes on with a text it was not trained for');
    const trained = await train(model, source, sample, ratioTargets, options);
    const after = await look(model, sample, options, '3. The same again, after training');
    print();
    print(`bits per byte of ${count(sample.heldOut.length)} bytes it never saw: ${before.bpb.toFixed(3)} before, ${after.bpb.toFixed(3)} after ${trained.steps} steps`);
    if (options.out) await keep(options.out, model, source);
    await writePage(options, source, sample, { before, after, trained });
  } finally {
    model.dispose();
  }
}

interface Look {
  row: ChunkRow;
  bpb: number;
  text: string;
}

/** Chunks of the sentence, bits per byte of the held-out text, and a continuation. */
async function look(model: SequenceLM, sample: Sample, options: DemoOptions, title: string): Promise<Look> {
  print(`\n${title}`);
  const row = await chunkRow(model, VOCABULARY, options.sentence);
  print(rowText(row, false));
  const { bitsPerByte: bpb } = await bitsPerByte(model, sample.heldOut, { mode: 'chunked', window: ROW, bos: VOCABULARY.bos });
  print(`${bpb.toFixed(3)} bits per byte of held-out text (${sample.name})\n`);
  print(`given:  ${sample.prompt.replace(/\s+/g, ' ').trim()}`);
  process.stdout.write('writes: ');
  const begin = performance.now();
  const text = await continueText(model, sample.prompt, { vocabulary: VOCABULARY, maxBytes: options.bytes, temperature: 0.7, seed: options.seed }, (piece) => process.stdout.write(piece));
  print(`\n(${rate(options.bytes / ((performance.now() - begin) / 1000))} bytes/s)`);
  return { row, bpb, text };
}

interface Trained {
  steps: number;
  /** Lines of a training log. */
  log: { type: 'step'; step: number; crossEntropy: number }[];
}

/** The minute of training, with the loss as it falls. Ctrl-C ends it early; the demo then goes on. */
async function train(model: SequenceLM, source: HNetSource, sample: Sample, ratioTargets: readonly number[], { seconds, seed }: DemoOptions): Promise<Trained> {
  print(`\n2. Training it for ${seconds} s on ${count(sample.train.length)} bytes of ${sample.name}`);
  const { signal, release } = stopSignal(() => process.stdout.write('\ntraining ends here; press Ctrl-C again to end the demo\n'));
  const progress = createProgress({ total: seconds, unit: 'second', stream: process.stdout, interval: Math.min(5, seconds / 4) });
  const log: Trained['log'] = [];
  let smooth: number | undefined;
  try {
    const lrMultipliers = defaultLrMultipliers(source.config, ratioTargets);
    for await (const e of fineTune({ model, config: source.config, text: sample.train, lrMultipliers, seconds, seed, signal })) {
      const loss = e.parts.crossEntropy! / Math.LN2;
      smooth = smooth === undefined ? loss : 0.9 * smooth + 0.1 * loss;
      log.push({ type: 'step', step: e.step, crossEntropy: e.parts.crossEntropy! });
      progress.update(Math.min(seconds, Math.round(e.seconds)), `step ${e.step} · loss ${smooth.toFixed(3)} bits per byte · ${rate(e.bytesPerSecond)} bytes/s`);
      await breathe();
    }
  } finally {
    progress.stop();
    release();
  }
  return { steps: log.length, log };
}

async function keep(folder: string, model: SequenceLM, source: HNetSource): Promise<void> {
  const { mkdir } = await import('node:fs/promises');
  await mkdir(folder, { recursive: true });
  await saveModel(folder, model, source.config);
  print(`model: ${resolve(folder)}; go on with: train --init ${folder} --data … --out …`);
}

async function writePage(options: DemoOptions, source: HNetSource, sample: Sample, { before, after, trained }: { before: Look; after: Look; trained: Trained }): Promise<void> {
  const page = chunksPage({
    title: 'An H-Net before and after a minute of training',
    lead: `A byte-level model that cuts its text itself. It was trained for ${options.seconds} seconds on ${count(sample.train.length)} bytes of ${sample.name}.`,
    rows: [
      { ...before.row, label: 'before' },
      { ...after.row, label: 'after' },
    ],
    facts: [
      ['model', source.name.split(/[/\\]/).slice(-1)[0]!],
      ['steps', String(trained.steps)],
      ['bits per byte before', before.bpb.toFixed(3)],
      ['bits per byte after', after.bpb.toFixed(3)],
    ],
    texts: [
      { title: 'It writes, before', text: sample.prompt + before.text },
      { title: 'It writes, after', text: sample.prompt + after.text },
    ],
    figures: trained.steps > 1 ? [{ caption: `Loss during training on ${sample.name}`, svg: await lossCurveSvg(trained.log) }] : [],
  });
  await writeFileAtomic(options.html, page);
  print(`page: ${resolve(options.html)}`);
}
