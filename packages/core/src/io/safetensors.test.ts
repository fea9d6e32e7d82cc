import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fixtureRoot, readGolden } from '../testing/fixtures.js';
import { openCheckpoint } from './open-checkpoint.js';
import { saveSafetensors, serializeSafetensors } from './save-safetensors.js';
import { openSafetensors } from './safetensors.js';
import { saveShards } from './save-shards.js';
import { bf16ToFloat32, f16ToFloat32, type HostTensor, type StoredDtype } from './tensor-source.js';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'bytelm-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A file with the given header and values, whether or not they fit. */
function file(header: unknown, values: Uint8Array = new Uint8Array(0)): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + json.length + values.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  out.set(values, 8 + json.length);
  return out;
}
const entry = (dtype: string, shape: number[], start: number, end: number) => ({ dtype, shape, data_offsets: [start, end] });
const one = (dtype: StoredDtype, values: ArrayBufferView) => file({ x: entry(dtype, [values.byteLength / width(dtype)], 0, values.byteLength) }, new Uint8Array(values.buffer));
const width = (dtype: StoredDtype) => Number(/\d+/.exec(dtype)?.[0] ?? 8) / 8;
const readX = async (bytes: Uint8Array, options = {}) => (await openSafetensors(bytes)).read('x', options);

describe('reading', () => {
  it('gives what the golden reader gives, by name, lazily', async () => {
    const path = join(fixtureRoot(), 'hnet', 'hnet_1stage', 'model.safetensors');
    const golden = readGolden(path);
    const source = await openSafetensors(path);
    expect([...source.names].sort()).toEqual([...golden.keys()].sort());
    for (const name of source.names) expect(await source.read(name)).toEqual(golden.get(name));
    expect(() => source.info('lm_head')).toThrow(/there is no tensor lm_head/);
    await expect(source.read('embedding.weight')).rejects.toThrow(/model\.safetensors: there is no tensor embedding\.weight/);
    await source.close();
  });

  it('every dtype', async () => {
    const values = async (bytes: Uint8Array, options?: object) => [...((await readX(bytes, options)).values as Float32Array)];
    expect(await values(one('F64', Float64Array.of(1.5, -2)))).toEqual([1.5, -2]);
    expect(await values(one('I64', BigInt64Array.of(-3n, 5n)))).toEqual([-3, 5]);
    expect(await values(one('U64', BigUint64Array.of(7n)))).toEqual([7]);
    expect(await values(one('I16', Int16Array.of(-300)))).toEqual([-300]);
    expect(await values(one('U16', Uint16Array.of(65535)))).toEqual([65535]);
    expect(await values(one('I8', Int8Array.of(-1)))).toEqual([-1]);
    expect(await values(one('U8', Uint8Array.of(255)))).toEqual([255]);
    expect(await values(one('U32', Uint32Array.of(2147483647)))).toEqual([2147483647]);
    expect(await readX(one('BOOL', Uint8Array.of(0, 1)))).toEqual({ dtype: 'bool', shape: [2], values: Uint8Array.of(0, 1) });
    await expect(readX(one('I64', BigInt64Array.of(1n << 40n)))).rejects.toThrow(/tensor x: entry 0 is 1099511627776, which does not fit int32/);
    expect(await readX(one('I64', BigInt64Array.of(1n << 40n)), { as: 'exact' })).toEqual({ dtype: 'int64', shape: [1], values: BigInt64Array.of(1n << 40n) });
    expect((await readX(one('F64', Float64Array.of(Math.PI)), { as: 'exact' })).values).toEqual(Float64Array.of(Math.PI));
  });

  it('halves are exact, and can stay packed', async () => {
    const bf16 = Uint16Array.of(0x3f80, 0x8000, 0x7f80, 0x0001, 0xc049);
    expect([...bf16ToFloat32(bf16)]).toEqual([1, -0, Infinity, 2 ** -133, -3.140625]);
    const f16 = Uint16Array.of(0x3c00, 0x8000, 0x7c00, 0x0001, 0x03ff, 0x0400, 0xfbff);
    expect([...f16ToFloat32(f16)]).toEqual([1, -0, Infinity, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, -65504]);
    expect(f16ToFloat32(Uint16Array.of(0x7e00))[0]).toBeNaN();
    const odd = file({ x: entry('BF16', [2, 3], 0, 12) }, new Uint8Array(Uint16Array.of(1, 2, 3, 4, 5, 6).buffer));
    expect(await readX(odd, { as: 'packed' })).toEqual({ dtype: 'packed', shape: [2, 3], values: Int32Array.of(0x20001, 3, 0x50004, 6) });
  });

  it('every half equals the formula of IEEE 754', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const got = f16ToFloat32(all);
    for (let h = 0; h < 65536; h++) {
      const [e, m] = [(h >> 10) & 31, h & 1023];
      const size = e === 31 ? (m ? NaN : Infinity) : e === 0 ? m * 2 ** -24 : (1 + m / 1024) * 2 ** (e - 15);
      if (!Object.is(got[h], h & 0x8000 ? -size : size)) expect(got[h], String(h)).toBe(h & 0x8000 ? -size : size);
    }
  });

  it('memory of its own: changing a tensor does not change the bytes it came from', async () => {
    const bytes = one('F32', Float32Array.of(1, 2));
    const { values } = await readX(bytes);
    (values as Float32Array).fill(9);
    expect([...((await readX(bytes)).values as Float32Array)]).toEqual([1, 2]);
  });

  it('Blobs, and URLs by range', async () => {
    const bytes = one('F32', Float32Array.of(1, 2));
    expect((await (await openSafetensors(new Blob([bytes as BlobPart]))).read('x')).values).toEqual(Float32Array.of(1, 2));
    const asked: string[] = [];
    const serve = (async (_url: string, init: RequestInit) => {
      const range = (init.headers as Record<string, string>).Range!;
      asked.push(range);
      const [from, to] = /bytes=(\d+)-(\d+)/.exec(range)!.slice(1).map(Number) as [number, number];
      return new Response(bytes.slice(from, to + 1) as BodyInit, { status: 206, headers: { 'content-range': `bytes ${from}-${to}/${bytes.length}` } });
    }) as unknown as typeof fetch;
    const source = await openSafetensors('https://example.org/model.safetensors', { fetch: serve });
    expect((await source.read('x')).values).toEqual(Float32Array.of(1, 2));
    expect(asked.at(-1)).toBe(`bytes=${bytes.length - 8}-${bytes.length - 1}`);
    const missing = (async () => new Response('', { status: 404 })) as unknown as typeof fetch;
    await expect(openSafetensors('https://example.org/model.safetensors', { fetch: missing })).rejects.toThrow(/example\.org\/model\.safetensors: the server answered 404/);
    const rangeless = (async () => new Response(bytes as BodyInit)) as unknown as typeof fetch;
    expect((await openSafetensors('https://example.org/model.safetensors', { fetch: rangeless })).names).toEqual(['x']);
  });
});

describe('shards and folders', () => {
  const index = (map: Record<string, string>) => writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
  const shard = (name: string, tensor: string, value: number) => saveSafetensors({ [tensor]: { dtype: 'float32', shape: [1], values: Float32Array.of(value) } }, join(folder, name));

  it('read as one source', async () => {
    await shard('model-1.safetensors', 'a', 1);
    await shard('model-2.safetensors', 'b', 2);
    index({ a: 'model-1.safetensors', b: 'model-2.safetensors' });
    for (const open of [openSafetensors, openCheckpoint]) {
      const source = await open(folder);
      expect(source.names).toEqual(['a', 'b']);
      expect((await source.read('b')).values).toEqual(Float32Array.of(2));
      expect(() => source.info('c')).toThrow(/there is no tensor c/);
      await source.close();
    }
  });

  it('refuses a missing shard, a missing tensor, a name that leaves the folder', async () => {
    await shard('model-1.safetensors', 'a', 1);
    index({ a: 'model-1.safetensors', b: 'model-2.safetensors' });
    await expect(openSafetensors(folder)).rejects.toThrow(/model-2\.safetensors: cannot be opened/);
    index({ a: 'model-1.safetensors', b: 'model-1.safetensors' });
    await expect(openSafetensors(folder)).rejects.toThrow(/tensor b should be in shard model-1\.safetensors, which does not have it/);
    index({ a: '../model-1.safetensors' });
    await expect(openSafetensors(folder)).rejects.toThrow(/shard name "\.\.\/model-1\.safetensors" is not a plain file name/);
    writeFileSync(join(folder, 'model.safetensors.index.json'), '{');
    await expect(openSafetensors(folder)).rejects.toThrow(/the index is not JSON/);
  });

  const namesOf = async (path: string) => {
    const source = await openCheckpoint(path);
    await source.close();
    return source.names;
  };

  it('a folder with one file, none, or too many', async () => {
    mkdirSync(join(folder, 'empty'));
    await expect(openCheckpoint(join(folder, 'empty'))).rejects.toThrow(/expected a file ending in \.safetensors, \.pt, \.pth, \.bin, got none/);
    copyFileSync(join(fixtureRoot(), 'hnet', 'hnet_edge', 'hnet_edge.pt'), join(folder, 'x.pt'));
    expect(await namesOf(folder)).toContain('lm_head.weight');
    await shard('a.safetensors', 'a', 1);
    expect(await namesOf(folder)).toEqual(['a']);
    await shard('b.safetensors', 'b', 1);
    await expect(openCheckpoint(folder)).rejects.toThrow(/got 2 \(a\.safetensors, b\.safetensors\)/);
    await expect(openCheckpoint(join(folder, 'nowhere'))).rejects.toThrow(/nowhere: cannot be opened/);
  });
});

describe('damage', () => {
  it.each([
    ['empty', new Uint8Array(0), /expected at least 8 bytes, got 0/],
    ['a huge header', Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127, 0), /the header claims/],
    ['not JSON', file('{"x"'), /the header is not JSON/],
    ['a list', file([]), /the header is not a JSON object/],
    ['no offsets', file({ x: { dtype: 'F32', shape: [1] } }), /tensor x: incomplete entry/],
    ['an unknown dtype', file({ x: entry('F4', [1], 0, 4) }, new Uint8Array(4)), /tensor x: dtype F4 is not supported/],
    ['a dtype of the prototype', file({ x: entry('constructor', [1], 0, 4) }, new Uint8Array(4)), /dtype constructor is not supported/],
    ['a negative size', file({ x: entry('F32', [-1], 0, 4) }, new Uint8Array(4)), /must be non-negative integers/],
    ['a wrong size', file({ x: entry('F32', [2], 0, 4) }, new Uint8Array(4)), /tensor x: shape \(2\) needs 8 bytes, its range has 4/],
    ['values cut off', file({ x: entry('F32', [2], 0, 8) }, new Uint8Array(7)), /tensor x ends at byte \d+, the file has \d+: it is truncated/],
    ['an overlap', file({ x: entry('F32', [2], 0, 8), y: entry('F32', [1], 4, 8) }, new Uint8Array(8)), /tensor y starts at byte \d+, expected \d+: tensors overlap/],
    ['values left over', file({ x: entry('F32', [1], 0, 4) }, new Uint8Array(8)), /the tensors end at byte \d+, the file has/],
    ['metadata of numbers', file({ __metadata__: { a: 1 } }), /__metadata__ must map strings to strings/],
  ])('%s', async (_, bytes, message) => {
    await expect(openSafetensors(bytes)).rejects.toMatchObject({ code: 'checkpoint', message: expect.stringMatching(message) });
  });

  it('a file cut anywhere is refused, by its name', async () => {
    const whole = one('F32', Float32Array.of(1, 2));
    const path = join(folder, 'cut.safetensors');
    for (let n = 0; n < whole.length; n++) {
      writeFileSync(path, whole.slice(0, n));
      await expect(openSafetensors(path), `${n} bytes`).rejects.toMatchObject({ code: 'checkpoint', message: expect.stringContaining('cut.safetensors') });
    }
  });

  it('a file that shrinks after opening names the tensor', async () => {
    const path = join(folder, 'x.safetensors');
    writeFileSync(path, one('F32', Float32Array.of(1, 2)));
    const source = await openSafetensors(path);
    writeFileSync(path, readFileSync(path).subarray(0, -4));
    await expect(source.read('x')).rejects.toThrow(/x\.safetensors: tensor x: its bytes \d+ to \d+ cannot be read/);
    await source.close();
  });
});

describe('writing', () => {
  it('what is written is read back, whatever it is', async () => {
    const tensor = fc.oneof(
      fc.float32Array({ maxLength: 12 }).map((values): HostTensor => ({ dtype: 'float32', shape: [values.length], values })),
      fc.int32Array({ maxLength: 12 }).map((values): HostTensor => ({ dtype: 'int32', shape: [1, values.length], values })),
      fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 5 }).map((v): HostTensor => ({ dtype: 'bool', shape: [v.length], values: Uint8Array.from(v) })),
    );
    const name = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((s) => s !== '__metadata__');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, tensor), { maxLength: 6 }), fc.dictionary(fc.string(), fc.string()), async (list, metadata) => {
        const tensors = new Map(list);
        const bytes = await serializeSafetensors(tensors, metadata);
        const source = await openSafetensors(bytes);
        expect(new Set(source.names)).toEqual(new Set(tensors.keys()));
        for (const [n, t] of tensors) expect(await source.read(n)).toEqual(t);
        expect({ ...source.metadata }).toEqual({ ...metadata });
        const path = join(folder, 'p.safetensors');
        await saveSafetensors(tensors, path, metadata);
        expect(new Uint8Array(readFileSync(path))).toEqual(bytes);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  it('values begin aligned', async () => {
    const bytes = await serializeSafetensors({ b: { dtype: 'bool', shape: [1], values: Uint8Array.of(1) }, x: { dtype: 'float32', shape: [1], values: Float32Array.of(1) } });
    const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect((8 + header) % 8).toBe(0);
    expect([...bytes.subarray(8 + header)]).toEqual([0, 0, 128, 63, 1]);
  });

  it('streams of any format', async () => {
    const chunks = function* () {
      yield Uint8Array.of(0x80, 0x3f, 0);
      yield Uint8Array.of(0x40);
    };
    const bytes = await serializeSafetensors({ x: { dtype: 'BF16', shape: [2], chunks } });
    expect(await (await openSafetensors(bytes)).read('x')).toEqual({ dtype: 'float32', shape: [2], values: Float32Array.of(1, 2) });
    await expect(serializeSafetensors({ x: { dtype: 'BF16', shape: [3], chunks } })).rejects.toThrow(/x: expected 6 bytes for BF16 \(3\), its stream gave 4/);
  });

  it('shards are read as what was saved', async () => {
    const values = Float32Array.of(1, 2, 3);
    const tensors = Object.fromEntries(['a', 'b', 'c', 'd'].map((n, i) => [n, { dtype: 'float32' as const, shape: [3], values: values.map((v) => v * i) }]));
    const files: string[] = [];
    const path = await saveShards(tensors, folder, { maxShardBytes: 30, onProgress: (_done, _total, f) => files.push(f) });
    expect(files).toEqual(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
    const source = await openSafetensors(path);
    for (const n of Object.keys(tensors)) expect(await source.read(n)).toEqual(tensors[n]);
    await source.close();
    const single = await openSafetensors(await saveShards({ a: tensors.a! }, join(folder)));
    expect(single.names).toEqual(['a']);
    await single.close();
  });

  it('refuses dtypes that do not fit', async () => {
    await expect(serializeSafetensors({ s: { dtype: 'string', shape: [], values: new Float32Array(1) } as never })).rejects.toThrow(/expected float32, int32 or bool.*got s \(string\)/);
  });
});
