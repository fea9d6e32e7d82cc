import { CheckpointError } from '../errors.js';
import { isUrl, openBytes, type BytesLike } from './byte-source.js';
import { openSafetensorsBytes } from './safetensors.js';
import { openShards } from './shards.js';
import type { TensorSource } from './tensor-source.js';
import { openTorchCheckpoint, type OpenTorchOptions } from './torch-checkpoint.js';
import { findInFolder } from './find-in-folder.js';

/**
 * Opens a checkpoint of either kind, told apart by content, not by name: safetensors or torch (`.pt`, `.pth`, `.bin`), one file, an index
 * of shards, or a folder that holds one.
 *
 * @throws CheckpointError when it is neither, or damaged.
 */
export async function openCheckpoint(source: BytesLike, options: OpenTorchOptions = {}): Promise<TensorSource> {
  if (typeof source === 'string' && !isUrl(source)) source = await findInFolder(source);
  const open = async (one: BytesLike): Promise<TensorSource> => {
    const bytes = await openBytes(one, options);
    const head = await bytes.read(0, Math.min(9, bytes.size)).catch(async (e: unknown) => {
      await bytes.close();
      throw e;
    });
    // safetensors: 8 bytes of length, then JSON. A pickle starts with 0x80 0x02…, a zip with PK.
    if (head[8] === 0x7b && !(head[0] === 0x50 && head[1] === 0x4b)) return openSafetensorsBytes(bytes);
    if ((head[0] === 0x50 && head[1] === 0x4b) || head[0] === 0x80) return openTorchCheckpoint(bytes, options);
    await bytes.close();
    throw new CheckpointError(`[openCheckpoint] ${bytes.name}: expected safetensors or a file of torch.save, got ${bytes.size ? 'neither' : 'an empty file'}. Hint: it is damaged or of another format.`);
  };
  const path = isUrl(source) ? new URL(String(source)).pathname : String((source as { name?: string }).name ?? source);
  return path.endsWith('.json') ? openShards(source as string | URL, open, options) : open(source);
}
