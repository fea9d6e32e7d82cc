import { cp, mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { saveSafetensors, stateDict, writeFileAtomic } from '@bytelm/core/io';
import type { SourceLM } from './model.js';

/**
 * Writes a model as Hugging Face has it: `config.json`, `model.safetensors` (a tied head is not stored) and the tokenizer's files.
 * @param config The `config.json` to write.
 * @param tokenizer Folder of `tokenizer.json`.
 */
export async function saveSourceLM(folder: string, model: SourceLM, config: Readonly<Record<string, unknown>>, tokenizer: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const tensors = stateDict(model);
  if (config.tie_word_embeddings === true) tensors.delete('lm_head.weight');
  await saveSafetensors(tensors, join(folder, 'model.safetensors'), { format: 'pt' });
  await writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 1)}\n`);
  if (resolve(tokenizer) === resolve(folder)) return;
  for (const file of ['tokenizer.json', 'tokenizer_config.json'].filter((f) => existsSync(join(tokenizer, f)))) await cp(join(tokenizer, file), join(folder, file));
}
