import type { Command } from 'commander';
import { DataError } from '@bytelm/core';
import { breathe, readInputs, stopSignal, whole, withSamplingOptions, withSharedOptions } from '@bytelm/example-shared/cli';
import { escaped } from '@bytelm/example-shared/text';
import { generateText } from '../generate-text.js';
import { startSource, withModelOption, type SourceOptions } from './options.js';

interface GenerateOptions extends SourceOptions {
  prompt?: string;
  maxTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  olmo generate --model allenai/OLMo-2-0425-1B --prompt "The backbone of" --temperature 0
  echo -n "It was a" | olmo generate --model teacher --max-tokens 50 --json`;

/** `olmo generate` */
export function addGenerateCommand(program: Command): void {
  const command = program.command('generate').description('continue a text').addHelpText('after', EXAMPLES);
  withSamplingOptions(
    withModelOption(command)
      .option('--prompt <text>', 'text to continue (default: standard input if something is piped in, else an empty text)')
      .option('--max-tokens <number>', 'tokens to generate at most', whole(0), 60),
    'token',
  )
    .option('--json', 'print one JSON object at the end in place of the text');
  withSharedOptions(command, 'auto').action(run);
}

async function run(options: GenerateOptions): Promise<void> {
  if (options.topP === 0) throw new DataError('[generate] --top-p: expected a share above 0, got 0.');
  const [given] = await readInputs(options.prompt === undefined ? [] : [options.prompt]);
  const prompt = new TextDecoder().decode(given?.bytes ?? new Uint8Array(0));
  const { model, tokenizer, config } = await startSource(options);
  const { signal, release } = stopSignal(() => {});
  const ids: number[] = [];
  let text = '';
  const begin = performance.now();
  try {
    if (!options.json) process.stdout.write(escaped(prompt));
    for await (const token of generateText(model, tokenizer, config, prompt, { ...options, signal })) {
      if (token.id >= 0) ids.push(token.id);
      text += token.text;
      if (!options.json) process.stdout.write(escaped(token.text));
      await breathe();
    }
  } finally {
    release();
    model.dispose();
  }
  const seconds = (performance.now() - begin) / 1000;
  const bytes = new TextEncoder().encode(text).length;
  if (options.json) process.stdout.write(`${JSON.stringify({ model: options.model, prompt, text, tokens: ids })}\n`);
  else process.stdout.write('\n');
  process.stderr.write(`${ids.length} tokens, ${bytes} bytes, ${(bytes / seconds).toFixed(1)} bytes/s with reading the prompt\n`);
}
