import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rng } from '../rng.js';
import { bytesInMemory, openByteFiles } from './byte-store.js';
import { ByteWindows } from './byte-windows.js';
import { globToRegExp, listFiles } from './list-files.js';
import { packDocuments } from './pack-documents.js';
import { Permutation } from './permutation.js';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'bytelm-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Writes files below `folder`; contents count up from `first`. */
function write(files: Record<string, number | string>) {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), typeof content === 'string' ? content : Uint8Array.from({ length: content }, (_, i) => (i + name.length) % 256));
  }
}
const counted = (n: number) => Uint8Array.from({ length: n }, (_, i) => i % 251);
const readAll = async (store: Awaited<ReturnType<typeof openByteFiles>>) => {
  const out = new Int32Array(store.size);
  await store.read(0, store.size, out, 0);
  return out;
};

describe('listFiles', () => {
  it('is sorted, deep, filtered, without hidden files', async () => {
    write({ 'b.txt': 'b', 'a/z.txt': 'z', 'a/y.md': 'y', 'a/.hidden/x.txt': 'x', '.git': 'g', 'B.TXT': 'B' });
    const names = async (o?: object) => (await listFiles(folder, o)).map((f) => f.path.slice(folder.length + 1));
    expect(await names()).toEqual(['B.TXT', 'a/y.md', 'a/z.txt', 'b.txt']);
    expect(await names({ extensions: ['.txt'] })).toEqual(['a/z.txt', 'b.txt']);
    expect(await names({ include: 'a/**/*.{md,txt}' })).toEqual(['a/y.md', 'a/z.txt']);
    expect(await names({ include: '?.txt' })).toEqual(['a/z.txt', 'b.txt']);
    await expect(listFiles(folder, { extensions: ['.py'] })).rejects.toThrow(/no file matches \.py/);
    await expect(listFiles(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'data', message: expect.stringContaining('nowhere') });
  });

  it('a pattern is literal but for its wildcards', () => {
    expect(globToRegExp('a+b(1).txt').test('a+b(1).txt')).toBe(true);
    expect(globToRegExp('*.txt').test('atxt')).toBe(false);
    expect(globToRegExp('src/*.ts').test('src/a/b.ts')).toBe(false);
    expect(globToRegExp('src/**').test('src/a/b.ts')).toBe(true);
  });
});

describe('byte stores', () => {
  it('files are one range, with separators and without empty ones', async () => {
    write({ 'a.txt': 'AA', 'b.txt': '', 'c.txt': 'CCC' });
    const store = await openByteFiles(folder, { separator: 254 });
    expect([...(await readAll(store))]).toEqual([65, 65, 254, 67, 67, 67]);
    expect([...(await readAll(await openByteFiles(folder)))]).toEqual([65, 65, 67, 67, 67]);
    await store.close();
  });

  it('any part of any files reads as the whole does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 9 }), { minLength: 1, maxLength: 20 }), fc.boolean(), fc.nat(200), fc.nat(200), async (contents, separated, a, b) => {
        fc.pre(contents.some((c) => c.length));
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder);
        contents.forEach((c, i) => writeFileSync(join(folder, String(i).padStart(3, '0')), c));
        const store = await openByteFiles(folder, separated ? { separator: 10 } : {});
        const whole = contents.filter((c) => c.length).flatMap((c, i) => [...(separated && i ? [10] : []), ...c]);
        expect(store.size).toBe(whole.length);
        const [start, end] = [a % (whole.length + 1), b % (whole.length + 1)].sort((x, y) => x - y) as [number, number];
        const out = new Int32Array(end - start + 2).fill(-1);
        await store.read(start, end - start, out, 1);
        expect([...out]).toEqual([-1, ...whole.slice(start, end), -1]);
        await store.close();
      }),
      { numRuns: 60, seed: 2 },
    );
  });

  it('a range selects bytes of the whole', async () => {
    write({ 'a.txt': 'abc', 'b.txt': 'def' });
    const store = await openByteFiles(folder, { range: [2, 5] });
    expect(String.fromCharCode(...(await readAll(store)))).toBe('cde');
    await store.close();
    await expect(openByteFiles(folder, { range: [2, 7] })).rejects.toThrow(/range: expected 0 ≤ start < end ≤ 6, got \[2, 7\]/);
  });

  it('refuses empty text', async () => {
    write({ 'a.txt': '' });
    await expect(openByteFiles(folder)).rejects.toThrow(/expected text, got 1 empty file/);
  });

  it('invalid UTF-8 is read as it is', async () => {
    writeFileSync(join(folder, 'x'), Uint8Array.of(0xff, 0xfe, 0x00, 0xc3));
    expect([...(await readAll(await openByteFiles(join(folder, 'x'))))]).toEqual([255, 254, 0, 195]);
  });

  it('a file that shrinks or vanishes while read is named', async () => {
    write({ 'a.txt': 40, 'b.txt': 40 });
    const store = await openByteFiles(folder);
    const out = new Int32Array(80);
    await store.read(0, 10, out, 0);
    truncateSync(join(folder, 'a.txt'), 20);
    await expect(store.read(15, 10, out, 0)).rejects.toMatchObject({ code: 'data', message: expect.stringMatching(/a\.txt: expected 40 bytes as when training began, it now ends at 20/) });
    rmSync(join(folder, 'b.txt'));
    await expect(store.read(50, 10, out, 0)).rejects.toMatchObject({ code: 'data', message: expect.stringMatching(/b\.txt: it cannot be read any more \(ENOENT/) });
    await store.close();
  });

  it('reads thousands of files through few open ones', async () => {
    for (let i = 0; i < 300; i++) writeFileSync(join(folder, String(i).padStart(3, '0')), String(i % 10));
    const store = await openByteFiles(folder);
    expect(String.fromCharCode(...(await readAll(store)))).toBe('0123456789'.repeat(30));
    await store.close();
  });
});

it('a Permutation holds every index once, in an order of its seed', () => {
  for (const size of [1, 2, 3, 7, 64, 1000]) {
    const order = Array.from({ length: size }, (_, i) => new Permutation(size, new Rng(4)).at(i));
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
    if (size > 50) expect(order).not.toEqual(Array.from({ length: size }, (_, i) => new Permutation(size, new Rng(5)).at(i)));
    // Not the identity in disguise: neighbours are torn apart.
    if (size > 50) expect(order.filter((v, i) => i && v === order[i - 1]! + 1).length).toBeLessThan(size / 10);
  }
});

describe('ByteWindows', () => {
  const store = () => bytesInMemory(counted(1000));

  it('rows are BOS and L bytes, or L+1 bytes', async () => {
    const bos = await new ByteWindows(store(), { length: 4, batch: 2, bos: 254, order: 'sequential' }).next();
    expect([...bos.ids]).toEqual([254, 0, 1, 2, 3, 254, 4, 5, 6, 7]);
    expect([bos.batch, bos.length]).toEqual([2, 5]);
    const plain = await new ByteWindows(store(), { length: 4, batch: 2, order: 'sequential' }).next();
    expect([...plain.ids]).toEqual([0, 1, 2, 3, 4, 4, 5, 6, 7, 8]);
  });

  it('an epoch holds every window once; the next one is cut and ordered anew', async () => {
    const windows = new ByteWindows(store(), { length: 10, batch: 1, bos: 254, seed: 3 });
    const epoch = async () => {
      const n = windows.windowsPerEpoch;
      const starts: number[] = [];
      for (let i = 0; i < n; i++) starts.push((await windows.next()).ids[1]!);
      return starts;
    };
    const [first, second] = [await epoch(), await epoch()];
    expect(new Set(first).size).toBe(first.length);
    expect(first.length).toBeGreaterThanOrEqual(99);
    expect([...first]).not.toEqual([...first].sort((a, b) => a - b));
    expect(second).not.toEqual(first);
    expect(windows.epochs).toBe(1);
  });

  it('a stored position continues with the very next batch', async () => {
    const options = { length: 7, batch: 3, seed: 11, bos: 254 };
    await fc.assert(
      fc.asyncProperty(fc.nat(130), async (before) => {
        const whole = new ByteWindows(store(), options);
        for (let i = 0; i < before; i++) await whole.next();
        const resumed = new ByteWindows(store(), options);
        resumed.restore(JSON.parse(JSON.stringify(whole.state())));
        for (let i = 0; i < 3; i++) expect(await resumed.next()).toEqual(await whole.next());
      }),
      { numRuns: 20, seed: 1 },
    );
  });

  it('a failed read does not lose the batch', async () => {
    write({ 'a.txt': 64 });
    const path = join(folder, 'a.txt');
    const windows = new ByteWindows(await openByteFiles(path), { length: 16, batch: 4, order: 'sequential' });
    truncateSync(path, 10);
    await expect(windows.next()).rejects.toThrow(/a\.txt/);
    write({ 'a.txt': 64 });
    expect((await windows.next()).ids[0]).toBe('a.txt'.length);
    await windows.close();
  });

  it('refuses other data, other windows, too little text', async () => {
    const state = new ByteWindows(store(), { length: 7, batch: 3 }).state();
    expect(() => new ByteWindows(bytesInMemory(counted(999)), { length: 7, batch: 3 }).restore(state)).toThrow(/the data is not the one this position belongs to/);
    expect(() => new ByteWindows(store(), { length: 8, batch: 3 }).restore(state)).toThrow(/3 x 8/);
    expect(() => new ByteWindows(store(), { length: 7, batch: 3, seed: 1 }).restore(state)).toThrow(/seed 0; got .* seed 1/);
    expect(() => new ByteWindows(store(), { length: 7, batch: 3 }).restore(null)).toThrow(/not one of this data set/);
    expect(() => new ByteWindows(bytesInMemory(counted(7)), { length: 7, batch: 1 })).toThrow(/at least one window of 8 bytes, got 7/);
    expect(() => new ByteWindows(store(), { length: 0, batch: 1 })).toThrow(/length: expected a whole number from 1, got 0/);
  });
});

it('packDocuments wastes nothing and marks where documents end', () => {
  const packed = packDocuments([[1, 2, 3], [], [4], [5, 6]], { length: 4, bos: 254, eos: 255, pad: 7 });
  expect([...packed.ids]).toEqual([254, 1, 2, 3, 255, 254, 255, 254, 4, 255, 254, 5, 6, 255, 7, 7]);
  expect([...packed.documentIds]).toEqual([0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3]);
  expect([...packed.lengths]).toEqual([4, 4, 4, 2]);
  expect(() => packDocuments([[], []], { length: 4 })).toThrow(/expected documents with content, got 2 empty ones/);
});
