import { CheckpointError } from '../errors.js';
import { saveSafetensors, savable, storedBytes, storedDtype, type SavableTensor, type SavableTensors } from './save-safetensors.js';
import { writeFileAtomic } from './write-atomic.js';

export interface SaveShardsOptions {
  /** Bytes of values in one file at most, unless a single tensor has more. Default 4e9. */
  maxShardBytes?: number | undefined;
  /** Strings kept in every file's header. */
  metadata?: Record<string, string> | undefined;
  /** Called after each file. */
  onProgress?: ((done: number, total: number, file: string) => void) | undefined;
}

/**
 * Writes tensors as numbered safetensors files with an index, as transformers does: `model-00001-of-00003.safetensors`, …,
 * `model.safetensors.index.json`. Tensors that fit one file become `model.safetensors` without an index. One tensor is in memory at a time.
 *
 * @returns the path of the index, or of the single file.
 * @throws CheckpointError for a dtype that cannot be stored, and for a failed write.
 */
export async function saveShards(tensors: SavableTensors, folder: string, options: SaveShardsOptions = {}): Promise<string> {
  const { maxShardBytes = 4e9, metadata = {}, onProgress } = options;
  const { join } = await import('node:path');
  const list = ([...(tensors instanceof Map ? tensors : Object.entries(tensors))] as [string, SavableTensor][]).map(([name, t]): [string, SavableTensor] => [name, savable(t)]);
  const refused = list.filter(([, t]) => !storedDtype(t)).map(([name, t]) => `${name} (${t.dtype})`);
  if (refused.length) throw new CheckpointError(`[saveShards] expected float32, int32 or bool tensors, got ${refused.join(', ')}. Hint: cast or leave them out.`);
  const shards = divide(list, maxShardBytes);
  const number = (n: number) => String(n).padStart(5, '0');
  const name = (i: number) => (shards.length === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`);
  for (const [i, shard] of shards.entries()) {
    await saveSafetensors(new Map(shard), join(folder, name(i)), metadata);
    onProgress?.(i + 1, shards.length, name(i));
  }
  if (shards.length === 1) return join(folder, name(0));
  const index = {
    metadata: { total_size: list.reduce((n, [, t]) => n + storedBytes(t), 0) },
    weight_map: Object.fromEntries(shards.flatMap((shard, i) => shard.map(([tensor]) => [tensor, name(i)]))),
  };
  const path = join(folder, 'model.safetensors.index.json');
  await writeFileAtomic(path, `${JSON.stringify(index, null, 1)}\n`);
  return path;
}

/** In the order given, each shard filled as far as it goes. */
function divide(list: readonly [string, SavableTensor][], most: number): [string, SavableTensor][][] {
  const shards: [string, SavableTensor][][] = [[]];
  let filled = 0;
  for (const item of list) {
    const bytes = storedBytes(item[1]);
    if (filled > 0 && filled + bytes > most) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(item);
    filled += bytes;
  }
  return shards;
}
