import type { Command } from 'commander';
import { ByteTokenizer, DataError, generate, Rng, type HierarchicalLM, type SamplingOptions } from '@bytelm/core';
import { count, numberList, rate, readInputs, stopSignal, whole, withSamplingOptions, withSharedOptions } from '@bytelm/example-shared/cli';
import { startModel, withModelOptions } from '@bytelm/example-shared/model';
import { BLT, type BLTModelOptions } from '../family.js';
import { speculate, type SpeculationReport } from '../speculate.js';

interface SpeculateCommandOptions extends BLTModelOptions {
  prompt?: string[];
  file?: string[];
  maxBytes: number;
  temperature: number;
  topK?: number;
  topP?: number;
  draft: number[];
  json?: boolean;
}

/** One way to decode, over all prompts. */
interface Line extends Omit<SpeculationReport, 'ids' | 'acceptedShare'> {
  /** Bytes drafted beyond a boundary at most; 0: plain decoding. */
  draftLength: number;
  bytesPerSecond: number;
  texts: string[];
}

const EXAMPLES = `
Examples:
  blt speculate --prompt "It was a dark" --temperature 0
  blt speculate --file letter.txt --draft 2,4,8,16 --max-bytes 500

Where a patch closes, the local decoder drafts bytes; the main network then reads all patches that closed meanwhile in one pass. The text is that of plain decoding, which runs
first to compare with: a difference is an error (exit code 1).`;

/** `blt speculate` */
export function addSpeculateCommand(program: Command): void {
  const command = program.command('speculate').description('continue texts by self-speculation, and report what share of drafts is accepted').addHelpText('after', EXAMPLES);
  withSamplingOptions(
    withModelOptions(command, BLT)
      .option('--prompt <text...>', 'texts to continue, one after the other (default: standard input)')
      .option('--file <path...>', 'files to continue')
      .option('--max-bytes <number>', 'bytes to generate for each text at most', whole(1), 200),
    'byte',
  )
    .option('--draft <list>', 'bytes drafted beyond a boundary at most, one run each', numberList, [2, 4, 8])
    .option('--json', 'print one JSON object');
  withSharedOptions(command, 'wasm').action(run);
}

async function run(options: SpeculateCommandOptions): Promise<void> {
  const given = await readInputs(options.prompt ?? [], options.file);
  if (!options.draft.length || !options.draft.every((n) => Number.isInteger(n) && n >= 1)) throw new DataError(`[speculate] --draft: expected whole numbers of at least 1, got ${options.draft.join(',') || 'none'}.`);
  if (!given.length) throw new DataError('[speculate] no text to continue. Hint: --prompt "It was", --file or standard input.');
  const tokenizer = new ByteTokenizer(BLT.vocabulary);
  const prompts = given.map((g) => tokenizer.encode(g.bytes));
  const { model, source } = await startModel(BLT, { ...options, cacheSlack: Math.max(...options.draft) });
  const { signal, release } = stopSignal(() => {});
  const lines: Line[] = [];
  try {
    for (const draftLength of [0, ...options.draft]) if (!signal.aborted) lines.push(await decode(model as HierarchicalLM, prompts, draftLength, options, signal));
  } finally {
    release();
    model.dispose();
  }
  const [plain, ...drafted] = lines as [Line, ...Line[]];
  const differing = signal.aborted ? [] : drafted.filter((line) => line.texts.some((text, i) => text !== plain.texts[i]));
  const { seed, temperature, maxBytes } = options;
  process.stdout.write(options.json ? `${JSON.stringify({ model: source.name, seed, temperature, maxBytes, identical: !differing.length, lines }, null, 1)}\n` : `${plain.texts.join('\n---\n')}\n\n${table(lines)}\n`);
  for (const { draftLength } of differing) process.stderr.write(`the text drafted ${draftLength} bytes at a time differs from the plain one\n`);
  if (differing.length) process.exitCode = 1;
}

/** All prompts, each on its own, each with the random numbers that `generate` would draw. */
async function decode(model: HierarchicalLM, prompts: readonly Int32Array[], draftLength: number, options: SpeculateCommandOptions, signal: AbortSignal): Promise<Line> {
  const line: Line = { draftLength, drafted: 0, accepted: 0, patches: 0, mainPasses: 0, mainPassesSaved: 0, bytesPerSecond: 0, texts: [] };
  const sampling: SamplingOptions = { temperature: options.temperature, topK: options.topK, topP: options.topP };
  let bytes = 0;
  const begin = performance.now();
  for (const prompt of prompts) {
    if (signal.aborted) break;
    const settings = { ...sampling, maxBytes: options.maxBytes, eos: BLT.vocabulary.eos, rng: new Rng(options.seed) };
    const report = draftLength ? await speculate(model, prompt, { ...settings, draftLength }) : await plainly(model, prompt, { ...settings, signal });
    for (const key of ['drafted', 'accepted', 'patches', 'mainPasses', 'mainPassesSaved'] as const) line[key] += report[key];
    line.texts.push(new ByteTokenizer(BLT.vocabulary).decode(report.ids));
    bytes += report.ids.length;
  }
  line.bytesPerSecond = bytes / ((performance.now() - begin) / 1000);
  process.stderr.write(`${draftLength ? `drafts of ${draftLength}` : 'plain decoding'}: ${count(bytes)} bytes, ${rate(line.bytesPerSecond)} bytes/s with reading the prompts\n`);
  return line;
}

async function plainly(model: HierarchicalLM, prompt: Int32Array, options: Parameters<typeof generate>[2]): Promise<Omit<SpeculationReport, 'acceptedShare'>> {
  const ids: number[] = [];
  let patches = 0;
  for await (const event of generate(model, [prompt], options)) {
    if (event.type === 'byte') ids.push(event.id);
    else if (event.type === 'boundary') patches += Number(event.fired[0] === 1);
  }
  return { ids: Int32Array.from(ids), drafted: 0, accepted: 0, patches, mainPasses: patches, mainPassesSaved: 0 };
}

function table(lines: readonly Line[]): string {
  const rows = lines.map((l) => [l.draftLength || 'plain', l.drafted, l.drafted ? `${((100 * l.accepted) / l.drafted).toFixed(1)} %` : '–', l.patches, l.mainPasses, `${((100 * l.mainPassesSaved) / (l.patches || 1)).toFixed(1)} %`]);
  const cells = [['draft', 'drafted', 'accepted', 'patches', 'main passes', 'saved'], ...rows.map((row) => row.map(String))];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells.map((row) => row.map((cell, i) => cell.padStart(widths[i]!)).join('  ').trimEnd()).join('\n');
}
