import { SequenceContext } from '@bytelm/core';
import { f16ToFloat32 } from '@bytelm/core/io';
import { expectNoLeak, useBackend } from '@bytelm/core/testing';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calibrateThreshold } from '../entropy/calibrate.js';
import { BpePatcher } from '../patchers/bpe-patcher.js';
import { EntropyPatcher } from '../patchers/entropy-patcher.js';
import { SpacePatcher } from '../patchers/space-patcher.js';
import { openSubwordTokenizer } from '../patchers/subword-tokenizer.js';
import { toyTokenizer } from '../patchers/toy-tokenizer.test-util.js';
import { segmentationFromLengths } from '../segmentation/convert.js';
import { tinyEntropyModel } from '../testing.js';
import { corpusPieces } from './corpus-pieces.js';
import { toFloat16 } from './float16.js';
import { openPatches, packPatchRows, patchFiles, type OfflinePatcher, type PatchedDocument, type PatchProgress } from './index.js';

const dir = mkdtempSync(join(tmpdir(), 'bytelm-offline-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
let made = 0;
const corpus = (content: string | Uint8Array): string => {
  const path = join(dir, `corpus-${made++}.txt`);
  writeFileSync(path, content);
  return path;
};
const LINES = ['the cat sat on the mat', 'é and 漢字, too', '', 'a line that is a good deal longer than the other lines are, so that it is cut', 'the end'];

async function all(documents: AsyncIterable<PatchedDocument>): Promise<PatchedDocument[]> {
  const out: PatchedDocument[] = [];
  for await (const d of documents) out.push(d);
  return out;
}

/** Each document's boundaries as `segment` has them for it alone, its last id closing a patch. */
async function asSegmented(patcher: OfflinePatcher, documents: readonly PatchedDocument[]): Promise<number[][]> {
  return Promise.all(
    documents.map(async ({ ids }) => {
      const mask = [...(await patcher.segment(undefined, new SequenceContext(1, ids.length, { ids }))).boundaryMask];
      mask[mask.length - 1] = 1;
      return mask;
    }),
  );
}

describe('files', () => {
  let patchers: Record<string, OfflinePatcher>;
  beforeAll(async () => {
    await useBackend('wasm');
    const model = tinyEntropyModel();
    const { threshold } = await calibrateThreshold({ model, texts: LINES, targetBytesPerChunk: 3 });
    patchers = {
      entropy: new EntropyPatcher({ model, threshold, maxChunkLength: 8, resetOnNewline: true, documentEnds: [2] }),
      space: new SpacePatcher({ vocabulary: 'hnet' }),
      bpe: new BpePatcher({ tokenizer: await openSubwordTokenizer(toyTokenizer()) }),
    };
  });

  it.each(['entropy', 'space', 'bpe'])('%s: equal to patching each document whole', async (name) => {
    const patcher = patchers[name]!;
    const path = corpus(LINES.join('\n'));
    const summary = await patchFiles({ patcher, files: path, separator: '\n', shardBytes: 40, batch: 3, pieceLength: 7 });
    const patches = await openPatches(path);
    const documents = await all(patches);
    expect(documents.map((d) => [...d.boundaryMask])).toEqual(await asSegmented(patcher, documents));
    // Every byte once, in order, between begin and end ids; the long line in parts without them where it was cut.
    const { bos, eos, offset } = patcher.vocabulary;
    const bytes = documents.flatMap((d) => [...d.ids].filter((id) => id !== bos && id !== eos).map((id) => id - offset));
    expect(Buffer.from(bytes).toString()).toBe(LINES.join('\n'));
    expect(documents.every((d) => d.ids[0] === bos)).toBe(true);
    expect(documents.filter((d) => d.ids.at(-1) === eos).length).toBe(LINES.length);
    expect(documents.filter((d) => d.isCut).length).toBeGreaterThan(1);
    const ids = documents.reduce((n, d) => n + d.ids.length, 0);
    expect(summary.bytesPerChunk).toBeCloseTo(ids / documents.reduce((n, d) => n + d.boundaryMask.reduce((a, v) => a + v, 0), 0), 10);
    expect([summary.bytes, summary.totalBytes, summary.kept]).toEqual([statSync(path).size, statSync(path).size, 0]);
  });

  it('a separator of no document', async () => {
    const path = corpus('one||two||||three');
    await patchFiles({ patcher: patchers.space!, files: path, separator: '||', keepSeparator: false, shardBytes: 6, bos: false, eos: false });
    expect((await all(await openPatches(path))).map((d) => Buffer.from(d.ids).toString())).toEqual(['one', 'two', 'three']);
  });

  it('another threshold on stored entropies, in both precisions', async () => {
    const path = corpus(LINES.join('\n'));
    const patcher = patchers.entropy as EntropyPatcher;
    for (const entropies of ['float32', 'float16'] as const) {
      await patchFiles({ patcher, files: path, entropies, overwrite: true });
      const stored = await (await openPatches(path)).document(0);
      const rule = { threshold: patcher.rule.threshold * 1.02 };
      const other = await (await openPatches(path, { rule })).document(0);
      expect([...other.boundaryMask]).toEqual((await asSegmented(new EntropyPatcher({ model: patcher.model, ...rule, resetOnNewline: true }), [stored]))[0]);
      expect([...other.boundaryMask]).not.toEqual([...stored.boundaryMask]);
    }
    await patchFiles({ patcher, files: path, entropies: null, overwrite: true });
    await expect((await openPatches(path, { rule: { threshold: 1 } })).document(0)).rejects.toThrow('expected shards with entropies');
  });

  it('keeps whole shards, makes damaged and missing ones again', async () => {
    const path = corpus(LINES.join('\n').repeat(3));
    const options = { patcher: patchers.entropy!, files: path, shardBytes: 64, batch: 2 };
    const first = await patchFiles(options);
    expect(first.shards).toBeGreaterThan(5);
    const shard = (i: number) => join(first.folders[0]!, `${String(i).padStart(6, '0')}.shard`);
    const before = readdirSync(first.folders[0]!).map((f) => readFileSync(join(first.folders[0]!, f)));
    truncateSync(shard(1), statSync(shard(1)).size - 5);
    const flipped = readFileSync(shard(2));
    flipped[flipped.length - 40]! ^= 1;
    writeFileSync(shard(2), flipped);
    rmSync(shard(3));
    writeFileSync(shard(4), 'no shard');
    utimesSync(shard(0), 1, 1);
    await expect(openPatches(path)).rejects.toThrow('000001.shard: its checksum is wrong: it was cut short or changed. Hint: patchFiles makes it anew.');
    const progress: PatchProgress[] = [];
    const second = await patchFiles({ ...options, onProgress: (p) => progress.push(p) });
    expect(second.kept).toBe(first.shards - 4);
    expect(second.bytesPerChunk).toBe(first.bytesPerChunk);
    expect(statSync(shard(0)).mtimeMs).toBe(1000);
    expect(readdirSync(first.folders[0]!).map((f) => readFileSync(join(first.folders[0]!, f)))).toEqual(before);
    expect(progress.at(-1)!.bytes).toBe(statSync(path).size);
    expect(progress.every((p, i) => i === 0 || p.bytes >= progress[i - 1]!.bytes)).toBe(true);
    expect(progress.at(-1)!.bytesPerSecond).toBeGreaterThan(0);
  });

  it('stops and goes on', async () => {
    const path = corpus(LINES.join('\n').repeat(3));
    const stop = new AbortController();
    const options = { patcher: patchers.entropy!, files: path, shardBytes: 64, batch: 1 };
    await expect(patchFiles({ ...options, signal: stop.signal, onProgress: (p) => p.shards > 2 && stop.abort() })).rejects.toThrow('abort');
    const summary = await patchFiles(options);
    expect([summary.kept > 1, summary.kept < summary.shards]).toEqual([true, true]);
    expect((await openPatches(path)).size).toBe(summary.shards);
  });

  it('sees a text that changed, and settings that differ', async () => {
    const path = corpus('the cat sat here.\n'.repeat(20));
    const options = { patcher: patchers.space!, files: path, shardBytes: 100 };
    const { shards } = await patchFiles(options);
    writeFileSync(path, `${'the cat sat here.\n'.repeat(8)}The cat sat there.\n`);
    await expect(openPatches(path)).rejects.toThrow('expected at least 180 bytes, got 163. Hint: run patchFiles again.');
    const again = await patchFiles(options);
    expect([again.kept, again.shards < shards]).toEqual([1, true]);
    expect(readdirSync(again.folders[0]!).length).toBe(again.shards);
    await expect(patchFiles({ ...options, eos: false })).rejects.toThrow('was made with other settings: eos: expected null, got 255. Hint: another `out`, or `overwrite: true`.');
    await patchFiles({ ...options, eos: false, overwrite: true });
    writeFileSync(path, `${'the cat sat here.\n'.repeat(8)}The cat was there.\n`);
    await expect(all(await openPatches(path))).rejects.toThrow('are not those that were patched. Hint: run patchFiles again.');
  });

  it('folders, another place for the shards, and no tensor left', async () => {
    const [a, b] = [corpus('first file'), corpus('second')];
    await expectNoLeak(() => patchFiles({ patcher: patchers.entropy!, files: [a, b], out: join(dir, 'out') }));
    expect((await openPatches([a, b], { out: join(dir, 'out') })).size).toBe(2);
    await expect(openPatches(a)).rejects.toThrow('000000.shard: there is no such file. Hint: patchFiles makes it.');
    await expect(patchFiles({ patcher: patchers.space!, files: [a, a] })).rejects.toThrow('two files would share');
    await expect(patchFiles({ patcher: patchers.space!, files: a, shardBytes: 0 })).rejects.toThrow('[patchFiles] shardBytes: expected a whole number from 1, got 0.');
  });
});

it('pieces of a file cover it once, whatever its bytes', () =>
  fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(0x61, 0x0a, 0x20, 0xe6, 0xbc, 0xa2, 0x7c), { maxLength: 80 }), fc.integer({ min: 4, max: 20 }), fc.option(fc.constantFrom('||', '\n')), async (bytes, shardBytes, separator) => {
      const path = corpus(Uint8Array.from(bytes));
      const found: number[] = [];
      let at = 0;
      for await (const piece of corpusPieces(path, { separator: separator ? Buffer.from(separator) : undefined, keepSeparator: true, shardBytes })) {
        expect(piece.start).toBe(at);
        expect(piece.bytes.length).toBe(piece.end - at);
        at = piece.end;
        for (let d = 0; d < piece.documents.length; d += 3) found.push(...piece.bytes.subarray(piece.documents[d], piece.documents[d + 1]));
      }
      expect(found).toEqual(bytes);
      rmSync(path);
    }),
    { numRuns: 50 },
  ));

it('rows of equally many patches', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 2, max: 6 }),
      async (documents, patches) => {
        let id = 0;
        const patched = documents.map((lengths) => {
          const boundaryMask = Uint8Array.from(lengths.flatMap((n) => [...new Array<number>(n - 1).fill(0), 1]));
          return { ids: Int32Array.from(boundaryMask, () => id++), boundaryMask };
        });
        let seen = -1;
        for await (const row of packPatchRows(patched, { patches, maxIds: 14 })) {
          const n = row.ids.length;
          expect(row.lengths.reduce((a, b) => a + b, 0)).toBe(n);
          expect(segmentationFromLengths([row.lengths]).length).toBe(n - 1);
          expect(row.lengths.length).toBeLessThanOrEqual(patches);
          expect(n).toBeLessThanOrEqual(14);
          expect([...row.ids]).toEqual(Array.from({ length: n }, (_, i) => row.ids[0]! + i));
          expect(row.ids[0]!).toBeGreaterThan(seen);
          seen = row.ids[n - 1]!;
        }
      },
    ),
  ));

it('halves are the nearest there are', () =>
  fc.assert(
    fc.property(fc.float({ min: 0, max: 8, noNaN: true }), (x) => {
      const half = toFloat16(Float32Array.of(x))[0]!;
      const error = (bits: number) => Math.abs(f16ToFloat32(Uint16Array.of(bits))[0]! - x);
      for (const other of [half - 1, half + 1]) if (other >= 0) expect(error(half)).toBeLessThanOrEqual(error(other));
    }),
  ));
