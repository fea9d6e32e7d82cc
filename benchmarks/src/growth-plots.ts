import type { BackendName } from '@bytelm/core';
import { PLOT_CONFIG, plotSvg } from '../../examples/shared/src/page/index.js';
import { runJob } from './processes.js';
import { table } from './tables.js';
import { mean, median } from './stats.js';
import type { ContextPoint } from './work/growth.js';

export interface GrowthRow {
  preset: string;
  backend: BackendName;
  /** Context in positions, or length in bytes. */
  x: number;
  /** Milliseconds a byte, or peak megabytes. */
  y: number;
}

export interface GrowthOptions {
  backends: readonly BackendName[];
  presets: readonly string[];
  threads: number;
  say: (line: string) => void;
}

/** Time of a decoding step against context. */
export async function contextRows({ backends, presets, threads, say }: GrowthOptions, length = 4096): Promise<GrowthRow[]> {
  const rows: GrowthRow[] = [];
  for (const backend of backends)
    for (const preset of presets) {
      const { result } = await runJob<ContextPoint[]>({ kind: 'context', backend, preset, length }, threads);
      rows.push(...result.map((p) => ({ preset, backend, x: p.context, y: p.msPerByte })));
      say(`${preset} on ${backend}: ${result[0]!.msPerByte.toFixed(2)} ms a byte at ${result[0]!.context}, ${result.at(-1)!.msPerByte.toFixed(2)} at ${result.at(-1)!.context}`);
    }
  return rows;
}

/** Peak memory of training on one row of a length, above what the process needs once everything is imported. */
export async function memoryRows({ backends, presets, threads, say }: GrowthOptions, lengths = [512, 1024, 2048, 3072, 4096]): Promise<GrowthRow[]> {
  const rows: GrowthRow[] = [];
  for (const backend of backends)
    for (const preset of presets)
      for (const length of lengths) {
        const out = await runJob({ kind: 'memory', backend, preset, length }, threads);
        rows.push({ preset, backend, x: length, y: out.peakRssMb - out.importsRssMb });
        say(`${preset} on ${backend}, ${length} bytes: ${Math.round(out.peakRssMb - out.importsRssMb)} MB above ${Math.round(out.importsRssMb)}`);
      }
  return rows;
}

/** Least squares y = a + b x, and the share of y's variance it explains. */
export function fitLine(points: readonly { x: number; y: number }[]): { a: number; b: number; r2: number } {
  const [mx, my] = [mean(points.map((p) => p.x)), mean(points.map((p) => p.y))];
  const sum = (f: (p: { x: number; y: number }) => number) => points.reduce((s, p) => s + f(p), 0);
  const b = sum((p) => (p.x - mx) * (p.y - my)) / sum((p) => (p.x - mx) ** 2);
  const a = my - b * mx;
  const total = sum((p) => (p.y - my) ** 2);
  return { a, b, r2: total ? 1 - sum((p) => (p.y - a - b * p.x) ** 2) / total : 1 };
}

/** Each preset's last quarter over its first: 1 where cost does not grow. */
export function growthTable(rows: readonly GrowthRow[], unit: string, kind: 'context' | 'memory'): string {
  const groups = [...new Set(rows.map((r) => `${r.preset}\t${r.backend}`))].map((key) => rows.filter((r) => `${r.preset}\t${r.backend}` === key));
  const lines = groups.map((g) => {
    const quarter = Math.max(1, Math.floor(g.length / 4));
    const [early, late] = [median(g.slice(0, quarter).map((r) => r.y)), median(g.slice(-quarter).map((r) => r.y))];
    const { b, r2 } = fitLine(g);
    const grown = kind === 'context' ? [`${early.toFixed(2)}`, `${late.toFixed(2)}`, (late / early).toFixed(2)] : [`${g[0]!.y.toFixed(0)}`, `${g.at(-1)!.y.toFixed(0)}`, `${(1024 * b).toFixed(0)} MB per 1,024 bytes, R² ${r2.toFixed(3)}`];
    return [g[0]!.preset, g[0]!.backend, ...grown];
  });
  const heads = kind === 'context' ? [`first quarter, ${unit}`, `last quarter, ${unit}`, 'ratio'] : [`at ${rows[0]?.x} bytes, ${unit}`, `at ${rows.at(-1)?.x} bytes, ${unit}`, 'straight line'];
  return table(['model', 'backend', ...heads], lines);
}

export function growthPlot(rows: readonly GrowthRow[], { title, x, y }: { title: string; x: string; y: string }): Promise<string> {
  const values = rows.map((r) => ({ ...r, series: `${r.preset}, ${r.backend}` }));
  return plotSvg({
    title,
    width: 640,
    height: 320,
    config: PLOT_CONFIG,
    data: { values },
    mark: { type: 'line', point: { filled: true, size: 28 }, strokeWidth: 1.6 },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: x },
      y: { field: 'y', type: 'quantitative', title: y, scale: { zero: true } },
      color: { field: 'series', type: 'nominal', title: null },
    },
  });
}
