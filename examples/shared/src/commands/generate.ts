import type { Command } from 'commander';
import { ByteTokenizer, DataError, generate, Rng, type ByteLM } from '@bytelm/core';
import { count, rate } from '../cli/format.js';
import { readInputs } from '../cli/read-input.js';
import { withSamplingOptions, withSharedOptions } from '../cli/shared-options.js';
import { breathe, stopSignal } from '../cli/stop-signal.js';
import { whole } from '../cli/values.js';
import { boundaryDepths } from '../model/chunk-rows.js';
import type { ModelSource } from '../model/find-model.js';
import { startModel, withModelOptions, type ModelFamily, type ModelOptions } from '../model/model-family.js';
import { OrderedOutput } from '../text/ordered-output.js';

interface GenerateCommandOptions {
  prompt?: string[];
  file?: string[];
  raw?: boolean;
  maxBytes: number;
  temperature: number;
  topK?: number;
  topP?: number;
  borders?: boolean;
  json?: boolean;
}

const examples = (program: string) => `
Examples:
  ${program} generate --prompt "It was a" --temperature 0.7 --max-bytes 300
  ${program} generate --prompt "Once" --prompt "The old house" --borders
  echo -n "Call me" | ${program} generate --json

An empty prompt is fine: the model then starts a text. With several prompts all are generated at once; they are printed in order.`;

/** `generate`: continues texts. */
export function addGenerateCommand<S extends ModelSource, O extends ModelOptions>(program: Command, family: ModelFamily<S, O>): void {
  const command = program.command('generate').description('continue one or several texts').addHelpText('after', examples(family.program));
  withSamplingOptions(
    withModelOptions(command, family)
      .option('--prompt <text...>', 'texts to continue (default: standard input if something is piped in, else an empty text)')
      .option('--file <path...>', 'files to continue')
      .option('--raw', 'accept bytes that are not UTF-8')
      .option('--max-bytes <number>', 'bytes to generate for each text at most', whole(0), 200),
    'byte',
  )
    .option('--borders', 'show where chunks begin: │ outermost stage, ║ also the second')
    .option('--json', 'print one JSON object at the end in place of the text');
  withSharedOptions(command, 'wasm').action((options: O & GenerateCommandOptions) => run(family, options));
}

interface Row {
  prompt: Uint8Array;
  bytes: number[];
  /** Stages that start a chunk, for each byte of BOS, prompt and continuation that was read. */
  depths: number[];
  reason: string;
}

async function run<S extends ModelSource, O extends ModelOptions>(family: ModelFamily<S, O>, options: O & GenerateCommandOptions): Promise<void> {
  if (options.topP === 0) throw new DataError('[generate] --top-p: expected a share above 0, got 0.');
  const given = await readInputs(options.prompt ?? [], options.file, { raw: Boolean(options.raw) });
  const prompts = given.length ? given.map((g) => g.bytes) : [new Uint8Array(0)];
  const { model, source } = await startModel(family, options);
  const { signal, release } = stopSignal(() => {});
  const rows: Row[] = prompts.map((prompt) => ({ prompt, bytes: [], depths: [], reason: '' }));
  const begin = performance.now();
  try {
    await write(family, model, rows, options, signal);
  } finally {
    release();
    model.dispose();
  }
  const seconds = (performance.now() - begin) / 1000;
  const total = rows.reduce((n, r) => n + r.bytes.length, 0);
  process.stderr.write(`${count(total)} bytes, ${rate(total / seconds)} bytes/s with reading the prompt\n`);
  if (options.json) process.stdout.write(`${JSON.stringify(report(rows, source.name, options), null, 1)}\n`);
}

/** Fills the rows, showing them as they grow. */
async function write({ vocabulary }: Pick<ModelFamily, 'vocabulary'>, model: ByteLM, rows: readonly Row[], options: GenerateCommandOptions & { seed: number }, signal: AbortSignal): Promise<void> {
  const { maxBytes, temperature, topK, topP, seed } = options;
  const output = options.json ? undefined : new OrderedOutput(rows.length, Boolean(options.borders));
  const tokenizer = new ByteTokenizer(vocabulary);
  const ids = rows.map((row) => tokenizer.encode(row.prompt));
  // Where chunks end at a boundary, it is known before a byte comes whether it starts one; otherwise only after it was read.
  let early = false;
  for await (const event of generate(model, ids, { maxBytes, temperature, topK, topP, eos: vocabulary.eos, rng: new Rng(seed), signal })) {
    if (event.type === 'prompt') {
      early = event.segmentations[0]?.drawnAt === 'end';
      rows.forEach((row, r) => {
        row.depths = boundaryDepths(event.segmentations, r, ids[r]!.length);
        // The BOS is not shown, and the first byte of the text is no border.
        row.prompt.forEach((byte, i) => output?.push(r, byte, i ? row.depths[i + 1]! : 0));
        const last = event.segmentations[0];
        if (early) row.depths.push(last!.boundaryMask[r * last!.length + ids[r]!.length - 1]!);
      });
    } else if (event.type === 'byte') {
      const row = rows[event.row]!;
      const byte = Math.max(0, event.id - vocabulary.offset);
      row.bytes.push(byte);
      output?.push(event.row, byte, early ? (row.depths.at(-1) ?? 0) : undefined);
    } else if (event.type === 'boundary') {
      const depth = early ? Number(event.fired[0] === 1) : event.fired.filter((f) => f === 1).length;
      rows[event.row]!.depths.push(depth);
      if (!early) output?.settle(event.row, depth);
    } else {
      rows[event.row]!.reason = event.reason;
      output?.end(event.row);
    }
    // Once a byte: Ctrl-C stops between bytes.
    if (event.type === 'byte' && event.row === 0) await breathe();
  }
}

function report(rows: readonly Row[], model: string, { seed, maxBytes, temperature, topK, topP }: GenerateCommandOptions & { seed: number }) {
  const text = (bytes: ArrayLike<number>) => new TextDecoder().decode(Uint8Array.from(bytes));
  return {
    model,
    seed,
    maxBytes,
    temperature,
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    rows: rows.map(({ prompt, bytes, depths, reason }) => ({
      prompt: text(prompt),
      text: text(bytes),
      bytes,
      reason,
      /** Per stage, offsets into prompt + continuation of the bytes that start a chunk, as far as it is known: the byte generated last was not read any more. */
      chunkStarts: Array.from({ length: Math.max(0, ...depths) }, (_, s) => depths.flatMap((d, i) => (i > 0 && d > s ? [i - 1] : []))),
    })),
  };
}
