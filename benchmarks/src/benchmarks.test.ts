import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { byteifiedTable } from './byteified-table.js';
import { fitLine, growthPlot, growthTable, type GrowthRow } from './growth-plots.js';
import { opsTable } from './ops/table.js';
import { findPeers } from './peers.js';
import { lastResult, regressions } from './regressions.js';
import { saveResult } from './save.js';
import { disagreementOf, ownSides, type Row, type Run } from './side-by-side.js';
import { median, percentile } from './stats.js';
import { sideBySideTable, table } from './tables.js';
import { targetsOf } from './targets.js';
import { windows } from './work/batches.js';

it('takes medians and percentiles between neighbours', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(percentile([0, 10], 0.25)).toBe(2.5);
  expect(percentile([5], 0.99)).toBe(5);
});

it('cuts the windows that the peers cut: a BOS, then text, rows spread over the data', () => {
  const data = Uint8Array.from({ length: 100 }, (_, i) => i);
  expect([...windows({ offset: 0, bos: 254 }, data, 2, 4, 1)]).toEqual([254, 1, 2, 3, 254, 49, 50, 51]);
});

it('says where the other side comes from when it is missing', () => {
  const before = process.env.BYTELM_PEERS;
  delete process.env.BYTELM_PEERS;
  try {
    expect(() => findPeers({ threads: 2, compile: 'off' })).toThrow('expected --peers DIR or BYTELM_PEERS');
    expect(() => findPeers({ peers: tmpdir(), threads: 2, compile: 'off' })).toThrow('bench.py is not there');
  } finally {
    if (before !== undefined) process.env.BYTELM_PEERS = before;
  }
});

describe('side by side', () => {
  const run: Run = { bytesPerSecond: 1000, machineGflops: [50, 50], ownGflops: [50, 50], peakRssMb: 1000, load: 0, bytesPerChunk: [4.5], firstLoss: 5 };
  const row = (over: Partial<Row>): Row => ({ config: 'demo', work: 'train', side: 'wasm', runs: [run], bytesPerSecond: 1000, normalized: 20, shareOfMatmul: 0.1, peakRssMb: 1000, mflopPerByte: 5, speedRatio: 0.2, memoryRatio: 1, ...over });

  it('decodes once more in bf16 or without a recorded step where a backend has such', () => {
    const options = { backends: ['wasm', 'webgpu'] as const, bf16: true, stepped: true };
    expect(ownSides(options, 'decode').map((s) => [s.side, s.format, s.recorded])).toEqual([['wasm', 'float32', undefined], ['webgpu', 'float32', undefined], ['wasm bf16', 'bf16', undefined], ['webgpu step by step', 'float32', false]]);
    expect(ownSides(options, 'prefill').map((s) => s.side)).toEqual(['wasm', 'webgpu']);
    expect(ownSides({ backends: ['tensorflow'], bf16: true, stepped: true }, 'decode').map((s) => s.side)).toEqual(['tensorflow']);
  });

  it('notices sides that do not compute the same', () => {
    expect(disagreementOf(run, { ...run, firstLoss: 5.0005, bytesPerChunk: [4.51] })).toBeUndefined();
    expect(disagreementOf(run, { ...run, firstLoss: 5.01 })).toContain('first loss');
    expect(disagreementOf(run, { ...run, firstLoss: NaN })).toContain('first loss');
    expect(disagreementOf(run, { ...run, bytesPerChunk: [5] })).toContain('bytes per chunk');
    expect(disagreementOf(run, { ...run, bytesPerChunk: [] })).toContain('bytes per chunk');
  });

  it('judges rows by what this project promises', () => {
    expect(targetsOf(row({}))).toMatchObject([{ wanted: '≥ 0.15×', met: true }]);
    expect(targetsOf(row({ side: 'tensorflow', speedRatio: 0.4, memoryRatio: 1.6 })).map((t) => t.met)).toEqual([false, false]);
    expect(targetsOf(row({ work: 'decode', speedRatio: 3, bytesPerSecond: 1999 })).map((t) => t.met)).toEqual([true, false]);
    expect(targetsOf(row({ work: 'prefill' }))).toEqual([]);
  });

  it('holds BLT against generate as shipped, and bf16 against nothing', () => {
    const decode = row({ config: 'blt-10M', work: 'decode', speedRatio: 3, shippedRatio: 40 });
    expect(targetsOf(decode)).toMatchObject([{ met: true }, { what: 'over generate as shipped', attained: '40×', met: false }]);
    const { speedRatio: _, memoryRatio: __, ...alone } = row({ side: 'wasm bf16', work: 'decode' });
    const file = { name: 'x', date: '2026-01-02T03:04:05Z', machine: { cpu: 'c', cores: 2, memoryGB: 8, os: 'o', node: 'v', tfjs: '4', commit: 'a' }, threads: 2, rounds: 1, seconds: 8 };
    const text = sideBySideTable({ ...file, rows: [{ ...alone, side: 'pytorch as shipped' }, decode, alone] });
    for (const part of ['PyTorch as shipped', 'over generate as shipped ≥ 50×: **missed** (40×)', 'compared with nothing']) expect(text).toContain(part);
    expect(text.split('\n').find((l) => l.includes('bytelm wasm bf16'))).toMatch(/\| {2}\|$/);
  });

  it('writes a table with machine, versions and commit', () => {
    const machine = { cpu: 'Some CPU', cores: 2, memoryGB: 8, os: 'Linux', node: 'v20', tfjs: '4.22.0', commit: 'abc123' };
    const peer = { ...row({ side: 'pytorch' }), speedRatio: undefined, memoryRatio: undefined } as unknown as Row;
    const text = sideBySideTable({ name: 'demo', date: '2026-01-02T03:04:05Z', machine, torch: '2.9', threads: 2, rounds: 1, seconds: 8, rows: [peer, row({ disagreement: 'first loss 1, PyTorch 2' })] });
    for (const part of ['commit abc123', 'Some CPU, 2 cores', 'torch 2.9', 'bytelm wasm', 'speed ≥ 0.15×: met', 'numbers differ', 'first loss 1, PyTorch 2']) expect(text).toContain(part);
    const lines = text.split('\n').filter((l) => l.startsWith('|'));
    expect(new Set(lines.map((l) => l.split('|').length)).size).toBe(1);
  });
});

describe('regressions', () => {
  const row = (side: Row['side'], normalized: number) => ({ config: 'demo', work: 'train', side, normalized }) as Row;

  it('names rows that lost more than a fifth, never those of the other side', () => {
    const before = [row('wasm', 10), row('pytorch', 10)];
    expect(regressions(before, [row('wasm', 8.1), row('pytorch', 1)])).toEqual([]);
    expect(regressions(before, [row('wasm', 7)])).toEqual(['demo train wasm: 0.70 of its speed before']);
    expect(regressions([], [row('wasm', 7)])).toEqual([]);
  });

  it('compares with the newest result of the same machine', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bytelm-'));
    const machine = { cpu: 'A', cores: 2 } as Parameters<typeof lastResult>[2];
    try {
      for (const [date, cpu] of [['2026-01-01', 'A'], ['2026-01-02', 'A'], ['2026-01-03', 'B']]) saveResult(folder, 'demo', date!, { json: JSON.stringify({ date, machine: { cpu, cores: 2 } }) });
      expect(lastResult(folder, 'demo', machine)?.date).toBe('2026-01-02');
      expect(lastResult(folder, 'other', machine)).toBeUndefined();
      expect(lastResult(join(folder, 'none'), 'demo', machine)).toBeUndefined();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('growth', () => {
  const rows: GrowthRow[] = [512, 1024, 2048, 4096].map((x) => ({ preset: 'demo', backend: 'wasm', x, y: 100 + x / 16 }));

  it('fits a straight line', () => {
    expect(fitLine(rows)).toMatchObject({ a: expect.closeTo(100), b: expect.closeTo(1 / 16), r2: expect.closeTo(1) });
    expect(fitLine([{ x: 0, y: 0 }, { x: 1, y: 1 }, { x: 2, y: 4 }]).r2).toBeLessThan(0.95);
  });

  it('tabulates and draws', async () => {
    expect(growthTable(rows, 'MB', 'memory')).toContain('64 MB per 1,024 bytes, R² 1.000');
    expect(growthTable(rows, 'ms', 'context')).toContain('| 132.00 | 356.00 | 2.70 |');
    const svg = await growthPlot(rows, { title: 'memory', x: 'bytes', y: 'MB' });
    expect(svg).toContain('demo, wasm');
  });
});

it('tabulates byteified models against their source', () => {
  const row = { size: '6M', backend: 'wasm' as const, parameters: 6.1e6, bodyStepsPerByte: 0.25, peakRssMb: 300, cpuShare: 1 };
  const text = byteifiedTable([{ ...row, patch: 'source', bytesPerSecond: 1000, speedRatio: 1 }, { ...row, patch: 4, bytesPerSecond: 1234, speedRatio: 1.234 }]);
  expect(text).toContain('| 6M | wasm | source model | 6.1 M | 1,000 | 1.00 | 0.250 | 300 | 1.00 |');
  expect(text).toContain('byteified, 4 bytes a patch | 6.1 M | 1,234 | 1.23');
});

it('makes markdown and files', () => {
  expect(table(['a', 'b'], [['1', '2']])).toBe('| a | b |\n| --- | --- |\n| 1 | 2 |');
  expect(opsTable([{ op: 'x', pass: 'forward', flops: 2e9, bytes: 1e9, fast: { ms: 100, msP10: 90, msP90: 110, runs: 20 }, portable: { ms: 250, msP10: 1, msP90: 1, runs: 20 } }])).toContain('| 2.5× |  | 20.0 | 10.0 |');
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-'));
  try {
    const [path] = saveResult(folder, 'ops', '2026-01-02T00:00:00Z', { json: '{}' });
    expect(path).toMatch(/2026-01-02-ops\.json$/);
    expect(readFileSync(path!, 'utf8')).toBe('{}');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
