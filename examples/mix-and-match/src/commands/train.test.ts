import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ResultRow } from '../results.js';
import { callCli, temporaryFolder, TEXT } from '../testing/run.js';

describe('mix-and-match train', () => {
  const folder = temporaryFolder();
  const data = join(folder, 'text.txt');
  const out = join(folder, 'results');
  beforeAll(() => writeFileSync(data, TEXT));
  const train = (...swaps: string[]) => callCli('train', '--swap', ...swaps, '--data', data, '--steps', '2', '--batch', '2', '--length', '32', '--backend', 'wasm', '--out', out);

  it('trains what it is asked for and keeps the rows of other swaps', async () => {
    const first = await train('blt-hnet-main', 'hnet-entropy');
    expect(first.stderr).not.toContain('[');
    expect(first.code).toBe(0);
    expect(first.stdout.split('\n').map((l) => l.split(' ')[0])).toEqual(['blt-hnet-main', 'hnet-entropy', '']);
    const second = await train('hnet');
    expect(second.code, second.stderr).toBe(0);
    const rows = JSON.parse(readFileSync(join(out, 'swaps.json'), 'utf8')) as ResultRow[];
    expect(rows.map((r) => [r.name, r.replaced, r.bytesPerChunk.length])).toEqual([['hnet', [], 1], ['hnet-entropy', ['chunker'], 1], ['blt-hnet-main', ['main'], 2]]);
    for (const { bitsPerByte, bytesPerChunk, sample, setup } of rows) {
      expect(bitsPerByte).toBeGreaterThan(4);
      expect(bitsPerByte).toBeLessThan(9);
      expect(Math.min(...bytesPerChunk)).toBeGreaterThan(1);
      expect(sample.startsWith('The ')).toBe(true);
      expect(setup).toMatchObject({ data: 'text.txt', steps: 2, batch: 2, length: 32, seed: 0, backend: 'wasm' });
    }
    expect(readFileSync(join(out, 'swaps.md'), 'utf8')).toContain('| `blt-hnet-main` | H-Net as main network | main |');
  });

  it('says what is wrong', async () => {
    expect((await callCli('train', '--swap', 'space')).stderr).toContain("[mix-and-match] swap 'space': expected one of hnet, hnet-entropy");
    expect((await callCli('train', '--steps', '0')).stderr).toContain("Expected a whole number of at least 1, got '0'");
    expect((await callCli('train', '--data', join(folder, 'none.txt'), '--backend', 'cpu')).stderr).toContain('none.txt');
  });
});
