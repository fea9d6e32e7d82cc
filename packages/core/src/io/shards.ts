import { CheckpointError } from '../errors.js';
import { isUrl, openBytes, type OpenBytesOptions } from './byte-source.js';
import { noSuchTensor, type HostTensor, type ReadOptions, type TensorSource } from './tensor-source.js';

/**
 * The shards of an index (`*.index.json` as transformers writes it), as one source.
 * @param open Opens one shard.
 * @throws CheckpointError when the index or a shard is damaged or missing.
 */
export async function openShards(index: string | URL, open: (shard: string) => Promise<TensorSource>, options: OpenBytesOptions): Promise<TensorSource> {
  const bytes = await openBytes(index, options);
  const text = new TextDecoder().decode(await bytes.read(0, bytes.size).finally(() => bytes.close()));
  const bad = (what: string): never => {
    throw new CheckpointError(`[checkpoint] ${bytes.name}: ${what} Hint: download the index and its shards again.`);
  };
  let map: Record<string, string>;
  try {
    map = (JSON.parse(text) as { weight_map: Record<string, string> }).weight_map;
  } catch {
    return bad('the index is not JSON.');
  }
  if (typeof map !== 'object' || map === null) bad('the index has no `weight_map`.');
  for (const file of new Set(Object.values(map))) {
    // A shard lies beside its index; anything else would let an index read files of its choice.
    if (typeof file !== 'string' || !/^[^/\\:]+\.(safetensors|bin|pt|pth)$/.test(file)) bad(`shard name ${JSON.stringify(file)} is not a plain file name of a checkpoint.`);
  }
  const beside = await resolver(index);
  const shards = new Map<string, TensorSource>();
  const close = async () => void (await Promise.all([...shards.values()].map((s) => s.close())));
  try {
    for (const file of new Set(Object.values(map))) shards.set(file, await open(beside(file)));
    for (const [name, file] of Object.entries(map)) {
      if (!shards.get(file)!.has(name)) bad(`tensor ${name} should be in shard ${file}, which does not have it.`);
    }
  } catch (e) {
    await close();
    throw e;
  }
  const names = Object.keys(map);
  const at = (name: string): TensorSource => {
    if (!Object.hasOwn(map, name)) throw noSuchTensor(bytes.name, name, names);
    return shards.get(map[name]!)!;
  };
  const all = (can: (s: TensorSource) => unknown) => [...shards.values()].every(can);
  return {
    name: bytes.name,
    names,
    metadata: Object.assign({}, ...[...shards.values()].map((s) => s.metadata)) as Record<string, string>,
    has: (name) => Object.hasOwn(map, name),
    info: (name) => at(name).info(name),
    read: (name: string, readOptions?: ReadOptions) => at(name).read(name, readOptions ?? {}) as Promise<HostTensor>,
    ...(all((s) => s.readRows) && { readRows: async (name, first, count) => at(name).readRows!(name, first, count) }),
    ...(all((s) => s.readRowsSync) && { readRowsSync: (name, first, count) => at(name).readRowsSync!(name, first, count) }),
    close,
  };
}

/** Where the files beside the index are. */
async function resolver(index: string | URL): Promise<(file: string) => string> {
  if (isUrl(index)) return (file) => new URL(file, String(index)).href;
  const { dirname, join } = await import('node:path');
  const folder = dirname(index instanceof URL ? (await import('node:url')).fileURLToPath(index) : index);
  return (file) => join(folder, file);
}
