import type { Command } from 'commander';
import { boundaryDepths } from '../chunk-rows.js';
import { ByteTokenizer, DataError, generate, Rng } from '@bytelm/core';
import { count } from '../cli/format.js';
import { startModel, withModelOptions, type ModelOptions } from '../cli/model-options.js';
import { readInputs } from '../cli/read-input.js';
import { withSharedOptions } from '../cli/shared-options.js';
import { breathe, stopSignal } from '../cli/stop-signal.js';
import { real, whole } from '../cli/values.js';
import { TextWriter } from '../text-writer.js';

interface GenerateCommandOptions extends ModelOptions {
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

const EXAMPLES = `
Examples:
  hnet generate --prompt "It was a" --temperature 0.7 --max-bytes 300
  hnet generate --prompt "Once" --prompt "The old house" --borders
  echo -n "Call me" | hnet generate --model hnet_1stage_L --json

An empty prompt is fine: the model then starts a text. With several prompts all are generated at once; they are printed in order.`;

/** `hnet generate` */
export function addGenerateCommand(program: Command): void {
  const command = program.command('generate').description('continue one or several texts').addHelpText('after', EXAMPLES);
  withModelOptions(command)
    .option('--prompt <text...>', 'texts to continue (default: standard input if something is piped in, else an empty text)')
    .option('--file <path...>', 'files to continue')
    .option('--raw', 'accept bytes that are not UTF-8')
    .option('--max-bytes <number>', 'bytes to generate for each text at most', whole(0), 200)
    .option('--temperature <number>', 'divides the logits; 0 always takes the most likely byte', real(0), 1)
    .option('--top-k <number>', 'sample among the k most likely bytes', whole())
    .option('--top-p <share>', 'sample among the most likely bytes that hold this probability', real(0, 1))
    .option('--borders', 'show where chunks begin: │ outermost stage, ║ also the second')
    .option('--json', 'print one JSON object at the end in place of the text');
  withSharedOptions(command, 'wasm').action(run);
}

interface Row {
  prompt: Uint8Array;
  bytes: number[];
  /** Stages that start a chunk, for each byte of BOS, prompt and continuation that was read. */
  depths: number[];
  reason: string;
}

async function run(options: GenerateCommandOptions): Promise<void> {
  if (options.topP === 0) throw new DataError('[generate] --top-p: expected a share above 0, got 0.');
  const given = await readInputs(options.prompt ?? [], options.file, { raw: Boolean(options.raw) });
  const prompts = given.length ? given.map((g) => g.bytes) : [new Uint8Array(0)];
  const { model, source } = await startModel(options);
  const { signal, release } = stopSignal(() => {});
  const rows: Row[] = prompts.map((prompt) => ({ prompt, bytes: [], depths: [], reason: '' }));
  const output = options.json ? undefined : new OrderedOutput(prompts.length, Boolean(options.borders));
  const tokenizer = new ByteTokenizer('hnet');
  const { maxBytes, temperature, topK, topP, seed } = options;
  const begin = performance.now();
  try {
    const ids = prompts.map((p) => tokenizer.encode(p));
    for await (const event of generate(model, ids, { maxBytes, temperature, topK, topP, rng: new Rng(seed), signal })) {
      if (event.type === 'prompt') {
        rows.forEach((row, r) => {
          row.depths = boundaryDepths(event.segmentations, r, ids[r]!.length);
          // The BOS is not shown, and the first byte of the text is no border.
          row.prompt.forEach((byte, i) => output?.push(r, byte, i ? row.depths[i + 1]! : 0));
        });
      } else if (event.type === 'byte') {
        rows[event.row]!.bytes.push(event.id);
        output?.push(event.row, event.id, undefined);
      } else if (event.type === 'boundary') {
        const depth = event.fired.filter((f) => f === 1).length;
        rows[event.row]!.depths.push(depth);
        output?.settle(event.row, depth);
      } else {
        rows[event.row]!.reason = event.reason;
        output?.end(event.row);
      }
      // Once a byte: Ctrl-C stops between bytes.
      if (event.type === 'byte' && event.row === 0) await breathe();
    }
  } finally {
    release();
    model.dispose();
  }
  const seconds = (performance.now() - begin) / 1000;
  const total = rows.reduce((n, r) => n + r.bytes.length, 0);
  process.stderr.write(`${count(total)} bytes, ${count(total / seconds)} bytes/s with reading the prompt\n`);
  if (options.json) process.stdout.write(`${JSON.stringify(report(rows, source.name, options), null, 1)}\n`);
}

function report(rows: readonly Row[], model: string, { seed, maxBytes, temperature, topK, topP }: GenerateCommandOptions) {
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
      /** Per stage, offsets into prompt + continuation of the bytes that start a chunk; the byte generated last was not read any more. */
      chunkStarts: Array.from({ length: Math.max(0, ...depths) }, (_, s) => depths.flatMap((d, i) => (i > 0 && d > s ? [i - 1] : []))),
    })),
  };
}

/** Several texts that grow at once, on one stream in order: the first that is not finished is shown live, later ones wait. */
class OrderedOutput {
  private readonly writers: TextWriter[];
  private readonly held: string[];
  private readonly ended: boolean[];
  private shown = 0;

  constructor(rows: number, borders: boolean) {
    this.held = Array.from({ length: rows }, (_, r) => (rows > 1 ? `[${r + 1}] ` : ''));
    this.ended = Array<boolean>(rows).fill(false);
    this.writers = this.held.map((_, r) => new TextWriter({ borders, escape: Boolean(process.stdout.isTTY), write: (text) => this.write(r, text) }));
    this.flush();
  }

  push(row: number, byte: number, depth: number | undefined): void {
    this.writers[row]!.push(byte, depth);
  }

  settle(row: number, depth: number): void {
    this.writers[row]!.settle(depth);
  }

  end(row: number): void {
    this.writers[row]!.end();
    this.write(row, '\n');
    this.ended[row] = true;
    while (this.ended[this.shown]) {
      this.shown++;
      this.flush();
    }
  }

  private write(row: number, text: string): void {
    if (row === this.shown) process.stdout.write(text);
    else this.held[row]! += text;
  }

  private flush(): void {
    if (this.held[this.shown]) process.stdout.write(this.held[this.shown]!);
    this.held[this.shown] = '';
  }
}
