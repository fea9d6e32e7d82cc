import { DataError, type ByteVocabulary } from '@bytelm/core';
import { listFiles, type ListFilesOptions } from '@bytelm/core/train';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startsFromEntropy, type StartsOptions } from '../entropy/entropy-rule.js';
import { shardFolder, shardName } from './patch-files.js';
import { BEGINS, decodeShard, ENDS, hexHash, type PatchShard, type ShardSettings } from './shard-format.js';

export interface OpenPatchesOptions extends ListFilesOptions {
  /** As for `patchFiles`. */
  out?: string | undefined;
  /** Other boundaries than the stored ones, out of the stored entropies: another threshold needs no new run. */
  rule?: Omit<StartsOptions, 'nextToken'> | undefined;
}

/** One document with its patches. */
export interface PatchedDocument {
  /** Begin id, bytes, end id, as the shards were made. */
  ids: Int32Array;
  /** One for each id, 1 where a patch ends; the last one always is 1. */
  boundaryMask: Uint8Array;
  /** One for each id, nats; 0 at begin and end ids. */
  entropies?: Float32Array | undefined;
  file: string;
  /** Of the first byte, in its file. */
  start: number;
  /** It goes on from the document before, or goes on in the next one: it was longer than a shard. */
  isCut: boolean;
}

interface ShardPlace {
  path: string;
  corpus: string;
  documents: number;
  /** Documents before it. */
  before: number;
}

/** Patched documents of a corpus, readable in any order; one shard is in memory at a time. */
export class PatchedCorpus {
  /** Documents, cut ones counted by their parts. */
  readonly size: number;
  private loaded: { place: ShardPlace; shard: PatchShard; bytes: Uint8Array } | undefined;

  /** @internal */
  constructor(
    private readonly places: readonly ShardPlace[],
    readonly settings: ShardSettings,
    private readonly rule: OpenPatchesOptions['rule'],
  ) {
    const last = places.at(-1);
    this.size = last ? last.before + last.documents : 0;
  }

  /** @throws DataError when a shard or its text is damaged, changed or gone. Neighbouring documents are cheap, far ones cost reading a shard. */
  async document(index: number): Promise<PatchedDocument> {
    if (!(Number.isInteger(index) && index >= 0 && index < this.size)) throw new DataError(`[PatchedCorpus] document ${index}: expected 0..${this.size - 1}.`);
    const { place, shard, bytes } = await this.load(this.places.findLast((p) => p.before <= index && p.documents > 0)!);
    return this.assemble(index - place.before, place, shard, bytes);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PatchedDocument> {
    for (let i = 0; i < this.size; i++) yield await this.document(i);
  }

  private async load(place: ShardPlace): Promise<{ place: ShardPlace; shard: PatchShard; bytes: Uint8Array }> {
    if (this.loaded?.place === place) return this.loaded;
    const shard = await readShard(place.path);
    const { start, end, corpus } = shard.header;
    const bytes = new Uint8Array(end - start);
    const handle = await open(place.corpus, 'r').catch((e: Error) => {
      throw new DataError(`[PatchedCorpus] ${place.corpus}: ${e.message}. Hint: the text must stay where it was patched.`, { cause: e });
    });
    try {
      await handle.read(bytes, 0, bytes.length, start);
    } finally {
      await handle.close();
    }
    if (hexHash(bytes) !== corpus) throw new DataError(`[PatchedCorpus] ${place.corpus}: bytes ${start}..${end} are not those that were patched. Hint: run patchFiles again.`);
    return (this.loaded = { place, shard, bytes });
  }

  private assemble(d: number, place: ShardPlace, shard: PatchShard, bytes: Uint8Array): PatchedDocument {
    const { bos, eos, patcher } = this.settings;
    const { offset } = patcher.vocabulary as ByteVocabulary;
    const [start, end, flags] = shard.documents.subarray(d * 3, d * 3 + 3) as unknown as [number, number, number];
    const lead = bos === null ? 0 : 1;
    const n = end - start;
    const length = lead + n + (eos !== null && flags & ENDS ? 1 : 0);
    const ids = new Int32Array(length);
    const boundaryMask = new Uint8Array(length);
    const entropies = shard.entropies && new Float32Array(length);
    if (lead) [ids[0], boundaryMask[0]] = [bos!, 1];
    for (let i = 0; i < n; i++) ids[lead + i] = bytes[start + i]! + offset;
    boundaryMask.set(shard.boundaries.subarray(start, end), lead);
    entropies?.set(shard.entropies!.subarray(start, end), lead);
    if (length > lead + n) ids[length - 1] = eos!;
    if (this.rule) {
      if (!entropies) throw new DataError('[PatchedCorpus] `rule`: expected shards with entropies, got boundaries only. Hint: patch with an EntropyPatcher.');
      boundaryMask.fill(0);
      for (const s of startsFromEntropy(entropies, this.rule)) if (s > 0) boundaryMask[s - 1] = 1;
    }
    boundaryMask[length - 1] = 1;
    return { ids, boundaryMask, entropies, file: place.corpus, start: shard.header.start + start, isCut: !(flags & BEGINS && flags & ENDS) };
  }
}

/**
 * Opens what `patchFiles` wrote for these files.
 *
 * @throws DataError when shards are missing, damaged or of different settings; it names the first one.
 * @example
 * for await (const { ids, boundaryMask } of await openPatches('texts', { extensions: ['.txt'] })) train(ids, boundaryMask);
 */
export async function openPatches(files: string | readonly string[], options: OpenPatchesOptions = {}): Promise<PatchedCorpus> {
  const places: ShardPlace[] = [];
  let settings: ShardSettings | undefined;
  let before = 0;
  for (const { path, size } of (await listFiles(files, options)).filter((f) => !/\.patches[/\\]/.test(f.path))) {
    for (let index = 0, at = 0; at < size; index++) {
      const shardPath = join(shardFolder(path, options.out), shardName(index));
      const { header } = await readShard(shardPath);
      if (header.start !== at) throw new DataError(`[openPatches] ${shardPath}: expected a shard from byte ${at} of ${path}, got one from ${header.start}. Hint: run patchFiles again.`);
      if (settings && JSON.stringify(settings) !== JSON.stringify(header.settings)) throw new DataError(`[openPatches] ${shardPath}: it was made with other settings than the shards before. Hint: run patchFiles with \`overwrite\`.`);
      settings = header.settings;
      places.push({ path: shardPath, corpus: path, documents: header.documents, before });
      before += header.documents;
      at = header.end;
      if (at > size) throw new DataError(`[openPatches] ${path}: expected at least ${at} bytes, got ${size}. Hint: run patchFiles again.`);
    }
  }
  if (!settings) throw new DataError(`[openPatches] ${[files].flat().join(', ')}: expected text, got empty files.`);
  return new PatchedCorpus(places, settings, options.rule);
}

/** One shard, checked. @throws DataError */
export async function readShard(path: string): Promise<PatchShard> {
  const there = await stat(path).catch(() => undefined);
  if (!there) throw new DataError(`[readShard] ${path}: there is no such file. Hint: patchFiles makes it.`);
  return decodeShard(await readFile(path), path);
}
