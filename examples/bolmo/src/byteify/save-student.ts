import { createReadStream, existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { HasParameters } from '@bytelm/core';
import { saveSafetensors, stateDict, writeFileAtomic } from '@bytelm/core/io';
import { TOKENIZER_FILES } from '../source.js';

/** Writes a model as published ones are: `config.json`, `model.safetensors`, the subword tokenizer beside them. */
export async function saveStudent(folder: string, model: HasParameters, config: Readonly<Record<string, unknown>>, tokenizerFolder: string): Promise<void> {
  await saveSafetensors(stateDict(model), join(folder, 'model.safetensors'), { format: 'pt' });
  await saveConfigFiles(folder, config, tokenizerFolder);
}

export async function saveConfigFiles(folder: string, config: Readonly<Record<string, unknown>>, tokenizerFolder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 1)}\n`);
  if (resolve(folder) === resolve(tokenizerFolder)) return;
  for (const name of TOKENIZER_FILES) {
    const from = join(tokenizerFolder, name);
    if (existsSync(from)) await copyFile(from, join(folder, name));
  }
}

/** Whole or not at all. */
export const copyFile = (from: string, to: string): Promise<void> => writeFileAtomic(to, createReadStream(from) as AsyncIterable<Uint8Array>);
