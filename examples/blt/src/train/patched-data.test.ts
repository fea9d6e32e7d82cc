import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rng } from '@bytelm/core';
import { bytesInMemory, Permutation, type TrainBatch } from '@bytelm/core/train';
import { SpacePatcher } from '@bytelm/patching';
import { TextPieces } from './documents.js';
import { nextTokenRow, patchBatch, type PatchRow } from './patch-rows.js';
import { patchedOnTheWay, type PatchSource } from './patch-source.js';
import { PatchedDocuments } from './patched-documents.js';

/** Patch lengths that depend on the ids only: the first is 1, later ones 1 to 5. */
function patch(ids: Int32Array): number[] {
  const lengths = [1];
  for (let at = 1; at < ids.length; at += lengths.at(-1)!) lengths.push(Math.min(1 + (ids[at]! % 5), ids.length - at));
  return lengths;
}

const encoded = (text: Uint8Array) => Int32Array.of(1, ...[...text].map((b) => b + 4), 2);
/** Documents in memory. */
const documents = (texts: readonly Uint8Array[]): PatchSource => ({
  count: texts.length,
  fingerprint: `${texts.map((t) => t.join('.')).join(';')}`,
  document: async (i) => ({ ids: encoded(texts[i]!), lengths: patch(encoded(texts[i]!)) }),
  close: async () => {},
});

/** The packing as the specification words it, with plain arrays: x, y, mask and lengths of one batch. */
function naive(rows: readonly PatchRow[], maxLength: number) {
  const made = rows.map(({ ids, lengths }) => {
    let T = [...ids];
    let l = [...lengths];
    if (l[0]! > 1) {
      T = T.slice(0, T.length - l.at(-1)!);
      l = [1, l[0]! - 1, ...l.slice(1, -1)];
    }
    return { x: T.slice(0, -1), y: T.slice(1), l };
  });
  const width = Math.max(...made.map((r) => r.x.length));
  return made.map(({ x, y, l }) => {
    const padding = width - x.length;
    const zeros = Array<number>(padding).fill(0);
    let row = { x: [...x, ...zeros], y: [...y, ...zeros], mask: [...x.map(() => true), ...zeros.map(() => false)], l: [...l.slice(0, -1), l.at(-1)! + padding] };
    if (width > maxLength) {
      const cut = <T>(v: T[]) => v.slice(0, maxLength);
      let left = maxLength + 1;
      const kept = row.l.map((n) => {
        const own = Math.min(n, left);
        left -= own;
        return own;
      });
      row = { x: cut(row.x), y: cut(row.y), mask: cut(row.mask), l: kept };
    }
    return row;
  });
}

/** Patch of each position, by counting. */
const patchOf = (lengths: readonly number[], count: number) => Array.from({ length: count }, (_, i) => lengths.reduce((found, _n, j) => (lengths.slice(0, j).reduce((a, b) => a + b, 0) <= i ? j : found), 0));

function expectEqualToNaive(batch: TrainBatch, expected: ReturnType<typeof naive>): void {
  const L = batch.length - 1;
  const seg = batch.segmentation!;
  expected.forEach(({ x, y, mask, l }, b) => {
    const row = [...batch.ids.subarray(b * batch.length, (b + 1) * batch.length)];
    const real = batch.lengths![b]! - 1;
    expect(real).toBe(mask.filter(Boolean).length);
    expect(row.slice(0, real)).toEqual(x.slice(0, real));
    expect(row.slice(1, real + 1)).toEqual(y.slice(0, real));
    // Which patch each real byte is in, and whether the next id opens one.
    const ids = patchOf(l, real + 1);
    const boundaries = Array.from({ length: real }, (_, t) => (ids[t + 1]! > ids[t]! ? 1 : 0));
    expect([...seg.boundaryMask.subarray(b * L, b * L + real)]).toEqual(boundaries);
    expect([...seg.boundaryMask.subarray(b * L + real, (b + 1) * L)].some(Boolean)).toBe(false);
  });
}

const rowArbitrary = fc
  .array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 8 })
  .map((lengths): PatchRow => ({ lengths, ids: Int32Array.from({ length: lengths.reduce((a, b) => a + b, 0) }, (_, i) => 4 + ((i * 7) % 250)) }))
  // A first patch of several ids and nothing but one more id: the row would hold a single id.
  .filter(({ lengths }) => lengths[0] === 1 || lengths.slice(0, -1).reduce((a, b) => a + b, 0) >= 2);

describe('patchBatch', () => {
  it('is the packing of the specification: shifts, first patch, padding, cuts', () => {
    fc.assert(
      fc.property(fc.array(rowArbitrary, { minLength: 1, maxLength: 4 }), fc.integer({ min: 3, max: 40 }), (rows, maxBytes) => {
        expectEqualToNaive(patchBatch(rows, { maxBytes }), naive(rows, maxBytes));
      }),
    );
  });

  it('rows of equally many patches give the main network a full batch, whatever their bytes', () => {
    const rows = [[1, 2, 3, 4], [3, 5, 1, 6], [1, 1, 1, 1]].map((lengths): PatchRow => ({ lengths, ids: new Int32Array(lengths.reduce((a, b) => a + b, 0)).fill(9) }));
    const { segmentation } = patchBatch(rows, { maxBytes: 100 });
    // The last patch of a row is still open at its last input.
    expect([...segmentation!.numChunks]).toEqual([3, 3, 3]);
  });

  it('pads to a fixed width when asked to', () => {
    const batch = patchBatch([{ ids: Int32Array.of(1, 5, 6), lengths: [1, 2] }], { maxBytes: 10, pad: true });
    expect([batch.length, [...batch.ids]]).toEqual([11, [1, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0]]);
  });

  it('a row inside a patch loses its last patch to the first one', () => {
    expect(nextTokenRow({ ids: Int32Array.of(5, 6, 7, 8, 9), lengths: [2, 1, 2] })).toEqual({ ids: Int32Array.of(5, 6, 7), lengths: [1, 1, 1] });
  });
});

describe('PatchedDocuments', () => {
  const texts = Array.from({ length: 7 }, (_, i) => Uint8Array.from({ length: 3 + ((i * 13) % 29) }, (_, k) => (i * 31 + k * 7) % 256));
  const open = (options: Partial<{ patches: number; batch: number; seed: number; buffer: number; weights: number[] }> = {}) => {
    const { weights = [1], patches = 5, batch = 2, seed = 3, buffer = 4 } = options;
    return new PatchedDocuments(weights.map((weight) => ({ documents: documents(texts), weight })), { patches, batch, maxBytes: 30, seed, buffer });
  };
  const take = async (data: PatchedDocuments, n: number) => {
    const out: string[] = [];
    for (let i = 0; i < n; i++) {
      const { ids, lengths, segmentation } = await data.next();
      out.push(JSON.stringify([[...ids], [...lengths!], [...segmentation!.boundaryMask]]));
    }
    return out;
  };

  it('holds the rows of a plain reading: documents in the epoch order, BOS … EOS, cut every S patches, shuffled within buffers', async () => {
    const [S, buffer, seed] = [5, 4, 3];
    const stream: { id: number; patch: number }[] = [];
    let patches = 0;
    for (let epoch = 0; epoch < 6; epoch++) {
      const order = new Permutation(texts.length, new Rng(seed).fork('source 0').fork(`epoch ${epoch}`));
      for (let i = 0; i < texts.length; i++) {
        const ids = [...encoded(texts[order.at(i)]!)];
        const lengths = patch(Int32Array.from(ids));
        let at = 0;
        for (const n of lengths) {
          for (const id of ids.slice(at, at + n)) stream.push({ id, patch: patches });
          at += n;
          patches++;
        }
      }
    }
    const rows = Array.from({ length: Math.floor(patches / S) }, (_, r) => {
      const own = stream.filter((s) => Math.floor(s.patch / S) === r);
      return { ids: Int32Array.from(own, (s) => s.id), lengths: Array.from({ length: S }, (_, j) => own.filter((s) => s.patch === r * S + j).length) };
    });
    const shuffled: PatchRow[] = [];
    for (let b = 0; (b + 1) * buffer <= rows.length; b++) {
      const own = rows.slice(b * buffer, (b + 1) * buffer);
      const rng = new Rng(seed).fork('source 0').fork(`buffer ${b}`);
      for (let i = own.length - 1; i > 0; i--) {
        const j = rng.nextInt(i + 1);
        [own[i], own[j]] = [own[j]!, own[i]!];
      }
      shuffled.push(...own);
    }
    const data = open();
    for (let n = 0; n + 2 <= shuffled.length; n += 2) expectEqualToNaive(await data.next(), naive(shuffled.slice(n, n + 2), 30));
    expect(shuffled.length).toBeGreaterThan(20);
  });

  it('a stored position continues with the very next batch, from anywhere', async () => {
    const all = await take(open({ weights: [1, 3] }), 20);
    for (const at of [0, 1, 3, 4, 7, 13]) {
      const first = open({ weights: [1, 3] });
      await take(first, at);
      const state = JSON.parse(JSON.stringify(first.state())) as unknown;
      const second = open({ weights: [1, 3] });
      second.restore(state);
      expect(await take(second, 20 - at)).toEqual(all.slice(at));
    }
  });

  it('sources come by weight', async () => {
    const counts = [0, 0];
    const marked = (mark: number): PatchSource => ({ ...documents([new Uint8Array(50).fill(mark)]), fingerprint: String(mark) });
    const data = new PatchedDocuments([{ documents: marked(10), weight: 1 }, { documents: marked(20), weight: 4 }], { patches: 4, batch: 1, maxBytes: 50 });
    for (let i = 0; i < 500; i++) counts[(await data.next()).ids.includes(24) ? 1 : 0]!++;
    expect(counts[1]! / counts[0]!).toBeGreaterThan(3);
    expect(counts[1]! / counts[0]!).toBeLessThan(5.5);
  });

  it('refuses another seed, other data and patches of another text', async () => {
    const state = open().state();
    expect(() => open({ seed: 4 }).restore(state)).toThrow(/not the one this position belongs to/);
    expect(() => open({ patches: 6 }).restore(state)).toThrow(/not the one this position belongs to/);
    const wrong = new PatchedDocuments([{ documents: { ...documents(texts), document: async (i) => ({ ids: encoded(texts[i]!), lengths: [1, 100] }) } }], { patches: 2, batch: 1, maxBytes: 9 });
    await expect(wrong.next()).rejects.toThrow(/document \d: expected patches that sum to its \d+ ids, BOS and EOS included, got 101/);
  });

  it('after a failed read the same batch can be asked for again', async () => {
    let fail = true;
    const flaky: PatchSource = { ...documents(texts), document: async (i) => (fail && i === 2 ? Promise.reject(new Error('gone')) : documents(texts).document(i)) };
    const options = { patches: 5, batch: 2, maxBytes: 30, seed: 3, buffer: 4 };
    const data = new PatchedDocuments([{ documents: flaky }], options);
    const good = await take(open(), 6);
    const got: string[] = [];
    while (got.length < 6) {
      try {
        got.push(...(await take(data, 1)));
      } catch {
        fail = false;
      }
    }
    expect(fail).toBe(false);
    expect(got).toEqual(good);
  });

  it('patches decided on the way are those of the whole document', async () => {
    const text = { count: 1, fingerprint: '', read: async () => new TextEncoder().encode('two  spaces, here'), close: async () => {} };
    const { ids, lengths } = await patchedOnTheWay(text, new SpacePatcher({ documentEnds: [2] })).document(0);
    expect([ids[0], ids.at(-1), ids.length]).toEqual([1, 2, 19]);
    expect(lengths).toEqual([1, 4, 8, 6]);
  });
});

describe('TextPieces', () => {
  it('covers the text without gap or overlap, cut at the ends of paragraphs', async () => {
    const text = Array.from({ length: 60 }, (_, i) => `Paragraph ${i} says ${'much '.repeat(i % 7)}and ends.`).join('\n\n');
    const bytes = new TextEncoder().encode(text);
    const pieces = new TextPieces(bytesInMemory(bytes), 200);
    const all = [];
    for (let i = 0; i < pieces.count; i++) all.push(new TextDecoder().decode(await pieces.read(i)));
    expect(all.join('')).toBe(text);
    expect(all.slice(0, -1).every((p) => p.endsWith('\n\n'))).toBe(true);
    expect(Math.max(...all.map((p) => p.length))).toBeLessThan(2 * 200 + 50);
  });

  it('never cuts inside a character, even where there is no line and no blank', async () => {
    const bytes = new TextEncoder().encode('漢字'.repeat(100));
    const pieces = new TextPieces(bytesInMemory(bytes), 100);
    const texts = await Promise.all(Array.from({ length: pieces.count }, async (_, i) => new TextDecoder('utf-8', { fatal: true }).decode(await pieces.read(i))));
    expect(texts.join('')).toBe('漢字'.repeat(100));
  });

  it('a short text is one document', async () => {
    const pieces = new TextPieces(bytesInMemory(Uint8Array.of(1, 2, 3)), 100);
    expect([pieces.count, [...(await pieces.read(0))]]).toEqual([1, [1, 2, 3]]);
  });
});
