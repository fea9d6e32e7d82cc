import { cpSync, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors, saveSafetensors, type SavableTensor } from '@bytelm/core/io';
import { storedAsBf16 } from '@bytelm/example-shared/model';

/** A model folder once more, its weights in bfloat16. @returns bytes of the weight file. */
export async function saveHalved(from: string, to: string): Promise<number> {
  const file = join(to, 'model.safetensors');
  const source = await openSafetensors(join(from, 'model.safetensors'));
  try {
    const tensors = new Map<string, SavableTensor>();
    for (const name of source.names) tensors.set(name, storedAsBf16(await source.read(name)));
    await saveSafetensors(tensors, file, { format: 'pt' });
  } finally {
    await source.close();
  }
  for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json'].filter((f) => existsSync(join(from, f)))) cpSync(join(from, name), join(to, name));
  return statSync(file).size;
}
