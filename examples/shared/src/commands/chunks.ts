import type { Command } from 'commander';
import { basename } from 'node:path';
import { DataError } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { readInputs, type InputText } from '../cli/read-input.js';
import { withSharedOptions } from '../cli/shared-options.js';
import { whole } from '../cli/values.js';
import type { ModelSource } from '../model/find-model.js';
import { startModel, withModelOptions, type ModelFamily, type ModelOptions } from '../model/model-family.js';
import { chunksAnsi, chunksJson, chunksPage, chunksSummary, type ChunkRow } from '../page/index.js';

interface ChunksOptions {
  file?: string[];
  raw?: boolean;
  withoutBlanks?: boolean;
  maxBytes: number;
  html: string | false;
  json?: boolean;
}

const examples = (program: string) => `
Examples:
  ${program} chunks "The backbone of the model is a stack of blocks."
  ${program} chunks --without-blanks "The quick brown fox"
  ${program} chunks --file poem.txt --html poem.html --model runs/verse`;

/** `chunks`: where every stage cuts a text. */
export function addChunksCommand<S extends ModelSource, O extends ModelOptions>(program: Command, family: ModelFamily<S, O>): void {
  const command = program.command('chunks').description('show where every stage cuts a text, in the terminal and as an HTML page').argument('[text...]', 'texts to cut (default: --file, or standard input)').addHelpText('after', examples(family.program));
  withModelOptions(command, family)
    .option('--file <path...>', 'files to cut')
    .option('--raw', 'accept bytes that are not UTF-8')
    .option('--without-blanks', 'show each text a second time with its blanks removed')
    .option('--max-bytes <number>', 'look at so many bytes of each text at most', whole(), 4096)
    .option('--html <file>', 'where the page is written', 'chunks.html')
    .option('--no-html', 'write no page')
    .option('--json', 'print the decisions as JSON in place of the text');
  withSharedOptions(command, 'wasm').action((texts: string[], options: O & ChunksOptions) => run(family, texts, options));
}

async function run<S extends ModelSource, O extends ModelOptions>(family: ModelFamily<S, O>, texts: string[], options: O & ChunksOptions): Promise<void> {
  const inputs = await readInputs(texts, options.file, { raw: Boolean(options.raw) });
  if (!inputs.length) throw new DataError('[chunks] expected a text, --file, or a text on standard input. Hint: chunks "The quick brown fox".');
  const { model, source } = await startModel(family, options);
  try {
    if (!family.stages(source)) process.stderr.write('this model has a single stack: it cuts nothing\n');
    const rows: ChunkRow[] = [];
    const cut = (text: Uint8Array, label: string) => family.chunkRow(model, source, text, label);
    for (const input of inputs) rows.push(...(await rowsOf(cut, input, options)));
    if (options.json) process.stdout.write(`${JSON.stringify(rows.map((row) => ({ label: row.label, ...chunksJson(row) })))}\n`);
    else for (const row of rows) process.stdout.write(`${rowText(row, rows.length > 1)}\n`);
    if (options.html !== false) {
      await writeFileAtomic(options.html, chunksPage({ title: 'Where the model cuts', rows, facts: [['model', basename(source.name)]], ...(family.pageNote && { note: family.pageNote }) }));
      process.stderr.write(`page: ${options.html}\n`);
    }
  } finally {
    model.dispose();
  }
}

type Cut = (text: Uint8Array, label: string) => Promise<ChunkRow>;

async function rowsOf(cut: Cut, { name, bytes }: InputText, { maxBytes, withoutBlanks }: ChunksOptions): Promise<ChunkRow[]> {
  const shown = wholeCharacters(bytes, maxBytes);
  if (shown.length < bytes.length) process.stderr.write(`${name}: the first ${shown.length} of ${bytes.length} bytes are shown (--max-bytes)\n`);
  const rows = [await cut(shown, name)];
  if (withoutBlanks) rows.push(await cut(shown.filter((b) => b !== 0x20), `${name}, without blanks`));
  return rows;
}

/** At most `most` bytes, not ending inside a character. */
function wholeCharacters(bytes: Uint8Array, most: number): Uint8Array {
  if (bytes.length <= most) return bytes;
  let end = most;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end || most);
}

/** A row for people: the text with borders, then a line per stage. */
export function rowText(row: ChunkRow, named: boolean): string {
  const lines = [chunksAnsi(row, { color: Boolean(process.stdout.isTTY) }), ...chunksSummary(row)];
  return named ? [`${row.label}:`, ...lines, ''].join('\n') : lines.join('\n');
}
