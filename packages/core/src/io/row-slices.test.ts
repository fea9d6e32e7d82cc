import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withRowSlices } from './row-slices.js';
import { openSafetensors } from './safetensors.js';
import { serializeSafetensors } from './save-safetensors.js';

const values = Float32Array.from({ length: 12 }, (_, i) => i);
const tensors = { all: { dtype: 'float32' as const, shape: [6, 2], values }, other: { dtype: 'int32' as const, shape: [3], values: Int32Array.of(7, 8, 9) } };
const floats = (b: Uint8Array) => [...new Float32Array(b.buffer, b.byteOffset, b.byteLength / 4)];

describe('rows by range', () => {
  let folder: string;
  let file: Uint8Array;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'row-slices-'));
    file = await serializeSafetensors(tensors);
    writeFileSync(join(folder, 'one.safetensors'), file);
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { all: 'one.safetensors', other: 'one.safetensors' } }));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const sources = { file: () => openSafetensors(join(folder, 'one.safetensors')), memory: () => openSafetensors(file), shards: () => openSafetensors(join(folder, 'model.safetensors.index.json')) };

  it.each(Object.entries(sources))('of a source in %s', async (_, open) => {
    const source = await open();
    expect(floats(await source.readRows!('all', 2, 3))).toEqual([4, 5, 6, 7, 8, 9]);
    expect(floats(source.readRowsSync!('all', 5, 1))).toEqual([10, 11]);
    expect(() => source.readRowsSync!('all', 5, 2)).toThrow('tensor all: expected rows within shape (6, 2), got 5 to 7.');
    await expect(source.readRows!('none', 0, 1)).rejects.toThrow('there is no tensor none');
    await source.close();
  });

  it('cannot be had at once from a Blob', async () => {
    const source = await openSafetensors(new Blob([file as Uint8Array<ArrayBuffer>]));
    expect(source.readRowsSync).toBeUndefined();
    expect(floats(await source.readRows!('all', 0, 1))).toEqual([0, 1]);
  });

  it('a matrix appears as several tensors', async () => {
    const source = await openSafetensors(file);
    const cut = withRowSlices(source, new Map([['a', { name: 'all', first: 0, rows: 2 }], ['b', { name: 'all', first: 2, rows: 4 }]]));
    expect(cut.names).toEqual(['other', 'a', 'b']);
    expect([cut.has('all'), cut.has('a'), cut.has('other')]).toEqual([false, true, true]);
    expect(cut.info('b')).toEqual({ dtype: 'F32', shape: [4, 2] });
    expect([...(await cut.read('b')).values]).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect([...(await cut.read('other')).values]).toEqual([7, 8, 9]);
    expect(floats(cut.readRowsSync!('b', 1, 1))).toEqual([6, 7]);
    expect(() => withRowSlices(source, new Map([['a', { name: 'all', first: 4, rows: 3 }]]))).toThrow('all has shape (6, 2), rows 4 to 7 of it were to become a.');
    expect(() => withRowSlices(source, new Map([['other', { name: 'all', first: 4, rows: 2 }]]))).toThrow('there is a tensor other already.');
  });
});
