import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeFileAtomic, type WriteFs } from './write-atomic.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bytelm-'));
  path = join(folder, 'file');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A file system on which the n-th write fails, after having taken half of it, as a full disk does. */
function failingAt(n: number, code: string): WriteFs {
  return {
    ...fs,
    open: async (...args: Parameters<typeof fs.open>) => {
      const handle = await fs.open(...args);
      const write = handle.write.bind(handle) as (b: Uint8Array, at: number, count: number) => Promise<{ bytesWritten: number }>;
      let calls = 0;
      handle.write = (async (b: Uint8Array, at: number, count: number) => {
        if (++calls < n) return write(b, at, count);
        if (calls === n) return write(b, at, Math.ceil(count / 2));
        throw Object.assign(new Error(`${code}: simulated`), { code });
      }) as unknown as typeof handle.write;
      return handle;
    },
  };
}

it('writes text, bytes and streams, and replaces', async () => {
  await writeFileAtomic(path, 'zwölf');
  expect(readFileSync(path, 'utf8')).toBe('zwölf');
  await writeFileAtomic(path, Uint8Array.of(1, 2));
  expect([...readFileSync(path)]).toEqual([1, 2]);
  async function* parts() {
    yield Uint8Array.of(3);
    yield new Uint8Array(0);
    yield Uint8Array.of(4, 5);
  }
  await writeFileAtomic(path, parts());
  expect([...readFileSync(path)]).toEqual([3, 4, 5]);
  expect(readdirSync(folder)).toEqual(['file']);
});

it('a full disk keeps the old file and removes the temporary one', async () => {
  writeFileSync(path, 'old');
  await expect(writeFileAtomic(path, [Uint8Array.of(1, 2, 3), Uint8Array.of(4)], { fs: failingAt(1, 'ENOSPC') })).rejects.toMatchObject({
    code: 'checkpoint',
    message: expect.stringMatching(/file: the disk is full \(ENOSPC\)\. Nothing was changed\. Hint: free space/),
  });
  expect(readFileSync(path, 'utf8')).toBe('old');
  expect(readdirSync(folder)).toEqual(['file']);
});

it('an interrupted stream keeps the old file', async () => {
  writeFileSync(path, 'old');
  async function* broken() {
    yield Uint8Array.of(1);
    throw new Error('interrupted');
  }
  await expect(writeFileAtomic(path, broken())).rejects.toThrow('interrupted');
  expect(readFileSync(path, 'utf8')).toBe('old');
  expect(readdirSync(folder)).toEqual(['file']);
});

it('a failed rename keeps the old file', async () => {
  writeFileSync(path, 'old');
  const rename = async () => {
    throw Object.assign(new Error('EACCES: simulated'), { code: 'EACCES' });
  };
  await expect(writeFileAtomic(path, 'new', { fs: { ...fs, rename } })).rejects.toThrow(/no permission \(EACCES\)/);
  expect(readFileSync(path, 'utf8')).toBe('old');
  expect(readdirSync(folder)).toEqual(['file']);
});

it('a folder that does not exist is named', async () => {
  await expect(writeFileAtomic(join(folder, 'no', 'file'), 'x')).rejects.toThrow(/no\/file: the folder does not exist \(ENOENT\)/);
});

it.runIf(process.platform === 'linux')('a real limit of the system, in a process of its own', () => {
  writeFileSync(path, 'old');
  // Files of at most 64 blocks: the kernel refuses the rest of the write, as a full disk does.
  const script = `
    process.on('SIGXFSZ', () => {});
    import('node:module').then(async ({ register }) => {
      const { writeFileAtomic } = await import(${JSON.stringify(join(import.meta.dirname, 'write-atomic.ts'))});
      await writeFileAtomic(${JSON.stringify(path)}, new Uint8Array(1 << 20)).catch((e) => console.log(e.code, e.message));
    });`;
  const run = spawnSync('bash', ['-c', `ulimit -f 64; exec node --import tsx -e "$0"`, script], { encoding: 'utf8', env: { ...process.env, TSX_DISABLE_CACHE: '1' } });
  expect(run.stdout, run.stderr).toMatch(/checkpoint \[write\] .*file: the file would be larger than allowed \(EFBIG\)\. Nothing was changed/);
  expect(readFileSync(path, 'utf8')).toBe('old');
  expect(existsSync(path)).toBe(true);
  expect(readdirSync(folder)).toEqual(['file']);
});
