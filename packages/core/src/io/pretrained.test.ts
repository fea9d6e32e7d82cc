import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fixtureRoot } from '../testing/fixtures.js';
import { parseConfig } from './config-json.js';
import { openPretrained } from './pretrained.js';
import { serializeSafetensors } from './save-safetensors.js';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'bytelm-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const HUB = 'https://hub.example';
const COMMIT = 'a'.repeat(40);
const tensorFile = (name: string, n = 4) => serializeSafetensors({ [name]: { dtype: 'float32', shape: [n], values: Float32Array.from({ length: n }, (_, i) => i) } });
const text = (s: string) => new TextEncoder().encode(s);

interface Fault {
  /** Ends the body of this file after so many bytes, once. */
  cut?: { file: string; after: number };
  /** Sends other bytes than it lists. */
  damage?: string;
  offline?: boolean;
  status?: number;
}

/** A server with the hub's interface, holding one repository. */
function hub(files: Record<string, Uint8Array>, fault: Fault = {}) {
  const log: string[] = [];
  const large = (path: string) => path.endsWith('.safetensors');
  const answer = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(input instanceof Request ? input.url : input));
    const range = new Headers(init.headers).get('range');
    log.push(`${url.pathname}${range ? ` ${range}` : ''}`);
    if (fault.offline) throw new TypeError('fetch failed');
    if (fault.status) return new Response(JSON.stringify({ error: 'refused' }), { status: fault.status, headers: { 'content-type': 'application/json' } });
    if (url.pathname.startsWith('/api/models/org/name/revision/')) return Response.json({ _id: '1', id: 'org/name', sha: COMMIT });
    if (url.pathname.startsWith('/api/models/org/name/tree/')) {
      const entries = Object.entries(files).map(([path, bytes]) => ({ type: 'file', path, size: bytes.length, oid: 'x', ...(large(path) ? { lfs: { oid: createHash('sha256').update(bytes).digest('hex'), size: bytes.length, pointerSize: 130 } } : {}) }));
      return Response.json([{ type: 'directory', path: 'runs', size: 0 }, { type: 'file', path: '../evil.safetensors', size: 1 }, ...entries]);
    }
    const path = /^\/org\/name\/resolve\/[^/]+\/(.+)$/.exec(url.pathname)?.[1];
    const bytes = path === undefined ? undefined : files[path];
    if (!bytes) return new Response('', { status: 404 });
    const [from, to] = range ? (/bytes=(\d+)-(\d+)/.exec(range)!.slice(1).map(Number) as [number, number]) : [0, bytes.length - 1];
    let body = bytes.slice(from, to + 1);
    if (fault.damage === path && body.length > 1) body[body.length - 1]! ^= 1;
    const headers = { etag: '"e"', 'content-range': `bytes ${from}-${to}/${bytes.length}` };
    const { cut } = fault;
    if (cut && cut.file === path && body.length > cut.after) {
      body = body.slice(0, cut.after);
      delete fault.cut;
      const broken = new ReadableStream({
        start: (c) => c.enqueue(body),
        pull: (c) => c.error(new Error('connection reset')),
      });
      return new Response(broken, { status: 206, headers });
    }
    return new Response(body as BodyInit, { status: range ? 206 : 200, headers });
  };
  return { fetch: answer as typeof fetch, log };
}

describe('local files', () => {
  it('a folder with a configuration, a single file, and neither', async () => {
    const model = await openPretrained(join(fixtureRoot(), 'hnet', 'hnet_1stage'), { weights: 'model.safetensors' });
    expect(model.config).toMatchObject({ d_model: [32, 64] });
    expect(model.tensors.names).toContain('lm_head.weight');
    await model.close();
    const pt = await openPretrained(join(fixtureRoot(), 'hnet', 'hnet_edge', 'hnet_edge.pt'));
    expect(pt.config).toBeDefined();
    expect(pt.tensors.names).toContain('lm_head.weight');
    await pt.close();
    await expect(openPretrained(folder)).rejects.toThrow(/expected one set of weights .*, got no weights/);
    await expect(openPretrained('./nowhere/at/all')).rejects.toThrow(/found no such file/);
    for (const f of ['a.safetensors', 'b.safetensors']) writeFileSync(join(folder, f), await tensorFile('x'));
    await expect(openPretrained(folder)).rejects.toThrow(/got 2 weight files \(a\.safetensors, b\.safetensors\).*choose one with `weights`/);
    const chosen = await openPretrained(folder, { weights: 'b.safetensors' });
    expect(chosen.tensors.name).toMatch(/b\.safetensors$/);
    await chosen.close();
  });
});

describe('repositories', () => {
  const open = (server: ReturnType<typeof hub>, options = {}) => openPretrained('org/name', { hubUrl: HUB, cacheDir: folder, fetch: server.fetch, ...options });
  const snapshot = () => join(folder, 'models--org--name', 'snapshots', COMMIT);

  it('downloads what is needed, once, with progress', async () => {
    const server = hub({ 'config.json': text('{"limit": [0, Infinity]}'), 'model.safetensors': await tensorFile('x'), 'README.md': text('no'), 'pytorch_model.bin': text('no') });
    const progress: string[] = [];
    const model = await open(server, { onProgress: (p: { file: string; loaded: number; total: number }) => p.loaded === p.total && progress.push(p.file) });
    expect(model.config).toEqual({ limit: [0, Infinity] });
    expect((await model.tensors.read('x')).values).toEqual(Float32Array.of(0, 1, 2, 3));
    expect(progress).toEqual(['config.json', 'model.safetensors']);
    expect(existsSync(join(snapshot(), 'README.md'))).toBe(false);
    expect(existsSync(join(folder, 'models--org--name', 'snapshots', 'evil.safetensors'))).toBe(false);
    await model.close();
    const before = server.log.length;
    await (await open(server)).close();
    expect(server.log.length).toBe(before + 1);
  });

  it('shards by their index', async () => {
    const index = text(JSON.stringify({ weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors' } }));
    const server = hub({ 'model.safetensors.index.json': index, 'model-1.safetensors': await tensorFile('a'), 'model-2.safetensors': await tensorFile('b') });
    const model = await open(server);
    expect(model.tensors.names).toEqual(['a', 'b']);
    expect(model.config).toBeUndefined();
    await model.close();
    const missing = hub({ 'model.safetensors.index.json': index, 'model-1.safetensors': await tensorFile('a') });
    rmSync(folder, { recursive: true });
    await expect(open(missing)).rejects.toThrow(/it has no model-2\.safetensors, which its index names/);
  });

  it('a broken transfer goes on where it stopped, in this run or the next', async () => {
    const files = { 'model.safetensors': await tensorFile('x', 1000) };
    const server = hub(files, { cut: { file: 'model.safetensors', after: 1500 } });
    const model = await open(server);
    expect((await model.tensors.read('x')).values).toHaveLength(1000);
    expect(server.log.some((l) => / bytes=1500-/.test(l))).toBe(true);
    await model.close();

    rmSync(folder, { recursive: true });
    mkdirSync(snapshot(), { recursive: true });
    writeFileSync(join(snapshot(), 'model.safetensors.incomplete'), files['model.safetensors'].slice(0, 700));
    const next = hub(files);
    await (await open(next)).close();
    expect(next.log.some((l) => / bytes=700-/.test(l))).toBe(true);
    expect(new Uint8Array(readFileSync(join(snapshot(), 'model.safetensors')))).toEqual(files['model.safetensors']);
  });

  it('a damaged download is refused by its hash and not kept', async () => {
    const server = hub({ 'model.safetensors': await tensorFile('x') }, { damage: 'model.safetensors' });
    await expect(open(server)).rejects.toMatchObject({ code: 'checkpoint', message: expect.stringMatching(/model\.safetensors: expected \d+ bytes with SHA-256 \w+, got \d+ with \w+/) });
    expect(existsSync(join(snapshot(), 'model.safetensors'))).toBe(false);
    expect(existsSync(join(snapshot(), 'model.safetensors.incomplete'))).toBe(false);
  });

  it('without a network the last download serves; without one of those the error says so', async () => {
    const files = { 'model.safetensors': await tensorFile('x') };
    await (await open(hub(files))).close();
    const offline = hub(files, { offline: true });
    await (await open(offline)).close();
    await (await open(offline, { revision: COMMIT })).close();
    await expect(open(offline, { revision: 'other' })).rejects.toThrow(/\[hub\] org\/name at other: fetch failed\. Hint: check the network/);
    await expect(open(hub(files, { status: 404 }))).rejects.toThrow(/Hint: check the name and the revision/);
    await expect(open(hub(files, { status: 403 }))).rejects.toThrow(/private or gated/);
  });

  it('reads by range without a cache', async () => {
    const server = hub({ 'config.json': text('{"a": 1}'), 'model.safetensors': await tensorFile('x') });
    const model = await open(server, { cacheDir: null });
    expect(model.config).toEqual({ a: 1 });
    expect((await model.tensors.read('x')).values).toEqual(Float32Array.of(0, 1, 2, 3));
    expect(model.folder).toBeUndefined();
    expect(existsSync(join(folder, 'models--org--name'))).toBe(false);
    await model.close();
  });
});

it('parseConfig reads the infinities of Python, and only those', () => {
  expect(parseConfig('{"a": [0.0, Infinity], "b": -Infinity, "c": "Infinity", "d": {"__float__": "-Infinity"}, "e\\"Infinity": NaN}', 'x')).toEqual({ a: [0, Infinity], b: -Infinity, c: 'Infinity', d: -Infinity, 'e"Infinity': NaN });
  for (const file of ['config.json', 'config.v4.json']) {
    const path = join(fixtureRoot(), 'kernels', 'lm_hf', file);
    expect(parseConfig(readFileSync(path, 'utf8'), path).time_step_limit).toEqual([0, Infinity]);
  }
  expect(() => parseConfig('{', 'c.json')).toThrow(/c\.json: it is not JSON/);
  expect(() => parseConfig('[]', 'c.json')).toThrow(/expected a JSON object, got \[\]/);
});
