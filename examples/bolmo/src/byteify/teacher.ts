import { join } from 'node:path';
import { ConfigError } from '@bytelm/core';
import type { SubwordTokenizer } from '@bytelm/distill';
import { loadTokenizer, openSource, type SourceConfig, type SourceFiles } from '@bytelm/example-olmo';
import { readLines } from '@bytelm/example-shared/train';

/** A source model before its weights are read. Its files are open. */
export interface OpenTeacher {
  source: SourceFiles;
  config: SourceConfig;
  /** The `config.json`. */
  raw: Readonly<Record<string, unknown>>;
  tokenizer: SubwordTokenizer;
  /** Of the tokenizer's files. */
  folder: string;
}

/**
 * Opens a source model with its tokenizer and checks that they belong together.
 * @throws ConfigError, CheckpointError: no tokenizer, one that cannot spell every byte or has no token that ends documents, or one with more
 * tokens than the model has rows.
 */
export async function openTeacher(name: string): Promise<OpenTeacher> {
  const source = await openSource(name);
  try {
    const tokenizer = await loadTokenizer(source);
    const { vocabulary } = tokenizer;
    if (vocabulary.endId === undefined) {
      throw new ConfigError(`[openTeacher] ${vocabulary.name}: expected a token that ends documents, which the teacher reads in front of every row, got none. Hint: name it as eos_token in tokenizer_config.json.`);
    }
    return { source, config: source.config, raw: source.files.config!, tokenizer, folder: source.files.folder! };
  } catch (e) {
    await source.files.close();
    throw e;
  }
}

/** Bytes that a model of `olmo train` has seen, by its log; `null` where there is none. */
export function bytesSeen(folder: string): number | null {
  const steps = readLines(join(folder, 'log.jsonl')).filter((l) => l.type === 'step');
  return steps.length ? steps.reduce((sum, l) => sum + Number(l.bytes ?? 0), 0) : null;
}
