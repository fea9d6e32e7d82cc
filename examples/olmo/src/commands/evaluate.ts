import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { DataError } from '@bytelm/core';
import { byteRange, count, createProgress, whole, withSharedOptions, type ByteRange, type Progress } from '@bytelm/example-shared/cli';
import { evaluateText } from '../evaluate-text.js';
import { startSource, withModelOption, type SourceOptions } from './options.js';

interface EvaluateOptions extends SourceOptions {
  data: string;
  range?: ByteRange;
  window: number;
  stride?: number;
  batch: number;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  olmo evaluate --model teacher --data books.txt --range 8310401:8578450
  olmo evaluate --model allenai/OLMo-2-0425-1B --data poem.txt --window 2048 --json

Bits per byte: the likelihood of the text's tokens over its bytes, comparable with byte models.`;

/** `olmo evaluate` */
export function addEvaluateCommand(program: Command): void {
  const command = program.command('evaluate').description('bits per byte of a text').addHelpText('after', EXAMPLES);
  withModelOption(command)
    .requiredOption('--data <file>', 'text to score')
    .option('--range <start:end>', 'bytes of it to score (default: all)', byteRange)
    .option('--window <tokens>', 'tokens of a window', whole(), 512)
    .option('--stride <tokens>', 'how far windows advance (default: half a window)', whole())
    .option('--batch <windows>', 'windows at once', whole(), 4)
    .option('--json', 'print the result as JSON');
  withSharedOptions(command, 'auto').action(run);
}

async function run(options: EvaluateOptions): Promise<void> {
  const { window, stride, batch } = options;
  if (stride !== undefined && stride > window) throw new DataError(`[evaluate] --stride ${stride}: expected at most the window (${window}), tokens would be skipped.`);
  const text = readText(options.data, options.range);
  const { model, tokenizer, config } = await startSource(options);
  let progress: Progress | undefined;
  try {
    const score = await evaluateText(model, tokenizer, config, text, {
      window,
      batch,
      ...(stride !== undefined && { stride }),
      onProgress: (p) => {
        progress ??= createProgress({ total: p.total, unit: 'token' });
        progress.update(p.tokens, `${p.bitsPerByte.toFixed(4)} bits per byte`);
      },
    });
    progress?.stop();
    if (options.json) process.stdout.write(`${JSON.stringify({ model: options.model, ...score, window, stride: stride ?? Math.max(1, window >> 1) })}\n`);
    else process.stdout.write(`${score.bitsPerByte.toFixed(4)} bits per byte, ${score.bytesPerToken.toFixed(2)} bytes per token, perplexity ${score.perplexity.toFixed(3)} per token, ${count(score.bytes)} bytes\n`);
  } finally {
    progress?.stop();
    model.dispose();
  }
}

function readText(path: string, range?: ByteRange): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (e) {
    throw new DataError(`[evaluate] ${path}: it cannot be read (${(e as Error).message}). Hint: check the path.`, { cause: e });
  }
  const [start, end] = range ?? [0, null];
  const text = new TextDecoder().decode(bytes.subarray(start, end ?? bytes.length));
  if (!text) throw new DataError(`[evaluate] ${path}: there is no text in ${start}:${end ?? ''} of ${bytes.length} bytes.`);
  return text;
}
