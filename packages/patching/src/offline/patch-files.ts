import { ConfigError, DataError, type HasParameters } from '@bytelm/core';
import { writeFileAtomic } from '@bytelm/core/io';
import { listFiles, type ListFilesOptions } from '@bytelm/core/train';
import { createHash } from 'node:crypto';
import { readFile, mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BpePatcher } from '../patchers/bpe-patcher.js';
import { EntropyPatcher } from '../patchers/entropy-patcher.js';
import type { RulePatcher } from '../patchers/patcher.js';
import { corpusPieces, type CorpusPiece } from './corpus-pieces.js';
import { patchOneByOne, patchSideBySide, type PatchedPiece } from './lanes.js';
import { decodeShard, encodeShard, hexHash, type EntropyDtype, type ShardHeader, type ShardSettings } from './shard-format.js';

export type OfflinePatcher = RulePatcher<any> | BpePatcher;

export interface PatchFilesOptions extends ListFilesOptions {
  patcher: OfflinePatcher;
  /** Files, or folders (searched with `include` and `extensions`). Any bytes will do. */
  files: string | readonly string[];
  /** Where the shards go: `OUT/NAME.patches/`. Default: beside each file, `FILE.patches/`. */
  out?: string | undefined;
  /** How entropies are kept; `null`: not at all. Default `'float32'` for entropy patchers; others have none. */
  entropies?: EntropyDtype | null | undefined;
  /** Ends a document, e.g. `'\n'`. Default: a file is one document. */
  separator?: string | Uint8Array | undefined;
  /** The separator belongs to the document it ends (default), or to none. */
  keepSeparator?: boolean | undefined;
  /** Begin and end ids around documents, those of the patcher's vocabulary. Default true; a document that was cut has no end id. */
  bos?: boolean | undefined;
  eos?: boolean | undefined;
  /** Bytes of a shard at most, and so of a document: longer ones are cut and go on as a new one. Default 512 KiB. */
  shardBytes?: number | undefined;
  /** Shards worked on side by side. Default 8. */
  batch?: number | undefined;
  /** Ids of each that are read at a time. Default 1024. */
  pieceLength?: number | undefined;
  /** Replace shards that were made with other settings. Default: refuse. */
  overwrite?: boolean | undefined;
  onProgress?: ((progress: PatchProgress) => void) | undefined;
  /** Stop between two pieces; what is finished stays. */
  signal?: AbortSignal | undefined;
}

export interface PatchProgress {
  /** Corpus bytes done, kept shards included, and of all files. */
  bytes: number;
  totalBytes: number;
  /** Of those patched in this run. */
  bytesPerSecond: number;
  shards: number;
  /** Shards of an earlier run that were found whole and kept. */
  kept: number;
}

export interface PatchSummary extends PatchProgress {
  seconds: number;
  /** Ids a patch, begin and end ids included. */
  bytesPerChunk: number;
  folders: string[];
}

/**
 * Patches files of any size ahead of training: boundaries and entropies in shards beside the corpus, in bounded memory. Shards appear whole or
 * not at all; run again after a crash, it keeps those that are whole and makes the others.
 *
 * Each document is patched as `segment` would patch it alone, with a patch ending at its last id.
 *
 * @throws ConfigError for shards of other settings in the same place. @throws DataError for files that cannot be read or change meanwhile.
 * @example
 * await patchFiles({ patcher, files: 'texts', extensions: ['.txt'], onProgress: (p) => console.log(p.bytesPerSecond) });
 */
export async function patchFiles(options: PatchFilesOptions): Promise<PatchSummary> {
  const { patcher, batch = 8, pieceLength = 1024, shardBytes = 1 << 19 } = options;
  for (const [name, value] of Object.entries({ batch, pieceLength, shardBytes })) {
    if (!(Number.isInteger(value) && value >= 1)) throw new ConfigError(`[patchFiles] ${name}: expected a whole number from 1, got ${value}.`);
  }
  const files = (await listFiles(options.files, options)).filter((f) => !/\.patches[/\\]/.test(f.path));
  const folders = files.map((f) => shardFolder(f.path, options.out));
  const twice = folders.find((f, i) => folders.indexOf(f) !== i);
  if (twice) throw new ConfigError(`[patchFiles] two files would share ${twice}. Hint: leave out \`out\`, or patch their folders one at a time.`);
  const settings = await settingsOf(options, shardBytes);
  const dtype = patcher instanceof EntropyPatcher ? (options.entropies === undefined ? 'float32' : options.entropies) : null;
  const progress: PatchProgress = { bytes: 0, totalBytes: files.reduce((n, f) => n + f.size, 0), bytesPerSecond: 0, shards: 0, kept: 0 };
  const began = performance.now();
  let patched = 0;
  let [ids, chunks] = [0, 0];
  const tell = (count: number, isNew: boolean) => {
    progress.bytes += count;
    patched += isNew ? count : 0;
    progress.bytesPerSecond = patched / Math.max(1e-3, (performance.now() - began) / 1000);
    options.onProgress?.({ ...progress });
  };
  const count = (header: Pick<ShardHeader, 'ids' | 'chunks'>) => {
    progress.shards++;
    ids += header.ids;
    chunks += header.chunks;
  };

  /** Pieces that no whole shard is there for. */
  async function* missing(): AsyncGenerator<CorpusPiece> {
    for (const [f, { path }] of files.entries()) {
      const folder = folders[f]!;
      await mkdir(folder, { recursive: true });
      let shards = 0;
      for await (const piece of corpusPieces(path, { separator: bytesOf(options.separator), keepSeparator: settings.keepSeparator, shardBytes })) {
        options.signal?.throwIfAborted();
        shards++;
        const found = await wholeShard(join(folder, shardName(piece.index)), piece, settings, dtype, options.overwrite ?? false);
        if (!found) {
          yield piece;
          continue;
        }
        count(found);
        progress.kept++;
        tell(piece.end - piece.start, false);
      }
      await removeBeyond(folder, shards);
    }
  }

  const lanes = { bos: settings.bos, eos: settings.eos, offset: patcher.vocabulary.offset, batch, pieceLength, signal: options.signal, onBytes: (n: number) => tell(n, true) };
  const results = patcher instanceof BpePatcher ? patchOneByOne(patcher, missing(), lanes) : patchSideBySide(patcher, missing(), lanes);
  for await (const { piece, boundaries, entropies, chunks, ids } of results as AsyncGenerator<PatchedPiece>) {
    const { start, end, documents, path } = piece;
    const header: ShardHeader = { format: 1, file: basename(path), start, end, corpus: hexHash(piece.bytes), settings, documents: documents.length / 3, chunks, ids, entropies: dtype };
    await writeFileAtomic(join(shardFolder(path, options.out), shardName(piece.index)), encodeShard({ header, documents, boundaries, entropies }));
    count(header);
    // Separators that belong to no document were nobody's work.
    tell(end - start - documentBytes(documents), true);
  }
  return { ...progress, seconds: (performance.now() - began) / 1000, bytesPerChunk: ids / Math.max(1, chunks), folders };
}

/** Folder of a corpus file's shards. */
export const shardFolder = (path: string, out?: string): string => (out === undefined ? `${path}.patches` : join(out, `${basename(path)}.patches`));
export const shardName = (index: number): string => `${String(index).padStart(6, '0')}.shard`;

/** The header of a shard that need not be made again. Damaged ones and those of another text are none. */
async function wholeShard(path: string, piece: CorpusPiece, settings: ShardSettings, dtype: EntropyDtype | null, overwrite: boolean): Promise<ShardHeader | undefined> {
  let header: ShardHeader;
  try {
    header = decodeShard(await readFile(path), path).header;
  } catch (e) {
    if (e instanceof DataError || (e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw e;
  }
  const [is, wanted] = [{ ...header.settings, entropies: header.entropies }, { ...settings, entropies: dtype }];
  if (JSON.stringify(is) !== JSON.stringify(wanted)) {
    if (overwrite) return undefined;
    const keys = Object.keys(wanted).filter((k) => JSON.stringify(is[k as keyof typeof is]) !== JSON.stringify(wanted[k as keyof typeof wanted]));
    throw new ConfigError(
      `[patchFiles] ${path} was made with other settings: ${keys.map((k) => `${k}: expected ${JSON.stringify(wanted[k as keyof typeof wanted])}, got ${JSON.stringify(is[k as keyof typeof is])}`).join('; ')}. ` +
        'Hint: another `out`, or `overwrite: true`.',
    );
  }
  return header.start === piece.start && header.end === piece.end && header.corpus === hexHash(piece.bytes) ? header : undefined;
}

async function settingsOf({ patcher, separator, keepSeparator = true, bos = true, eos = true }: PatchFilesOptions, shardBytes: number): Promise<ShardSettings> {
  return {
    patcher: patcher.describe(),
    model: patcher instanceof EntropyPatcher ? await hashParameters(patcher.model) : null,
    bos: bos ? patcher.vocabulary.bos : null,
    eos: eos ? patcher.vocabulary.eos : null,
    separator: separator === undefined ? null : Buffer.from(bytesOf(separator)!).toString('base64'),
    keepSeparator,
    shardBytes,
  };
}

async function hashParameters(model: HasParameters): Promise<string> {
  const hash = createHash('sha256');
  for (const [name, variable] of model.parameters()) {
    const values = await variable.data();
    hash.update(`${name} ${variable.shape.join()}\n`).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest('hex');
}

function bytesOf(separator: string | Uint8Array | undefined): Uint8Array | undefined {
  const bytes = typeof separator === 'string' ? new TextEncoder().encode(separator) : separator;
  if (bytes && !bytes.length) throw new ConfigError('[patchFiles] separator: expected at least one byte, got none.');
  return bytes;
}

function documentBytes(documents: Int32Array): number {
  let n = 0;
  for (let d = 0; d < documents.length; d += 3) n += documents[d + 1]! - documents[d]!;
  return n;
}

/** Shards of a longer file that stood here before. */
async function removeBeyond(folder: string, count: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const index = /^(\d{6,})\.shard$/.exec(name)?.[1];
    if (index !== undefined && Number(index) >= count) await rm(join(folder, name));
  }
}
