import * as fs from 'node:fs/promises';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { WriteFs } from '../io/write-atomic.js';
import { useBackend } from '../testing/index.js';
import { AdamW } from './adamw.js';
import { bytesInMemory } from './byte-store.js';
import { ByteWindows } from './byte-windows.js';
import { listCheckpoints, loadCheckpoint, saveCheckpoint } from './checkpoint.js';
import { BigramModel } from './test-model.js';
import { trainLoop } from './train-loop.js';

let folder: string;
beforeAll(() => useBackend('cpu'));
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'bytelm-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function start(seed = 1) {
  const model = new BigramModel(seed, 2);
  return { model, optimizer: new AdamW([{ params: model.parameters() }]), batches: new ByteWindows(bytesInMemory(new Uint8Array(100)), { length: 8, batch: 1 }) };
}
const embeddings = async ({ model }: { model: BigramModel }) => [...(await model.parameters().get('embeddings.weight')!.data())];

/** Files whose name holds `name` cannot grow beyond `limit` bytes. */
const fullDisk = (name: string, limit: number): WriteFs => ({
  ...fs,
  open: async (...args: Parameters<typeof fs.open>) => {
    const handle = await fs.open(...args);
    const write = handle.write.bind(handle) as (b: Uint8Array, at: number, count: number) => Promise<{ bytesWritten: number }>;
    let room = String(args[0]).includes(name) ? limit : Infinity;
    handle.write = (async (b: Uint8Array, at: number, count: number) => {
      if (room <= 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const done = await write(b, at, Math.min(count, room));
      room -= done.bytesWritten;
      return done;
    }) as unknown as typeof handle.write;
    return handle;
  },
});

it.each([
  ['model.safetensors', 1000],
  ['optimizer.safetensors', 0],
  ['state.json', 10],
])('a disk that is full while %s is written loses nothing', async (name, limit) => {
  const run = start();
  await saveCheckpoint(folder, run, { step: 1 });
  const before = await embeddings(run);
  for await (const _ of trainLoop({ ...run, schedule: () => 0.1, steps: 2 }));
  for (const step of [2, 1]) {
    await expect(saveCheckpoint(folder, run, { step, fs: fullDisk(name, limit) })).rejects.toMatchObject({ code: 'checkpoint', message: expect.stringMatching(/the disk is full \(ENOSPC\)/) });
    expect(readdirSync(folder)).toEqual(['checkpoint-00000001']);
  }
  const resumed = start(2);
  expect((await loadCheckpoint(folder, resumed)).step).toBe(1);
  expect(await embeddings(resumed)).toEqual(before);
  await saveCheckpoint(folder, run, { step: 2 });
  expect((await listCheckpoints(folder)).map((c) => c.step)).toEqual([1, 2]);
});

it('replaces a checkpoint of the same step and clears what crashed runs left', async () => {
  const run = start();
  await saveCheckpoint(folder, run, { step: 3 });
  mkdirSync(join(folder, '.tmp-checkpoint-00000009-123'));
  writeFileSync(join(folder, 'notes.txt'), 'mine');
  const other = start(5);
  await saveCheckpoint(folder, other, { step: 3, extra: 'second' });
  expect(readdirSync(folder).sort()).toEqual(['checkpoint-00000003', 'notes.txt']);
  const resumed = start();
  expect(await loadCheckpoint(join(folder, 'checkpoint-00000003'), resumed)).toMatchObject({ step: 3, extra: 'second' });
  expect(await embeddings(resumed)).toEqual(await embeddings(other));
});

it('says what is wrong with a checkpoint', async () => {
  await expect(loadCheckpoint(folder, start())).rejects.toThrow(/expected checkpoint-… folders, got none/);
  const path = await saveCheckpoint(folder, start(), { step: 1 });
  truncateSync(join(path, 'model.safetensors'), 3000);
  await expect(loadCheckpoint(folder, start())).rejects.toThrow(/model\.safetensors: tensor \S+ ends at byte \d+, the file has 3000: it is truncated/);
  writeFileSync(join(path, 'state.json'), '{"version": 2}');
  await expect(loadCheckpoint(folder, start())).rejects.toThrow(/expected a checkpoint of version 1, got 2/);
  writeFileSync(join(path, 'state.json'), '{');
  await expect(loadCheckpoint(folder, start())).rejects.toThrow(/state\.json: cannot be read/);
});
