import type { BackendName } from '@bytelm/core';
import { runJob } from './processes.js';
import { mean, median } from './stats.js';
import { table } from './tables.js';
import type { ByteifiedResult } from './work/byteified.js';
import { BYTES_PER_TOKEN, SUBWORDS } from './work/byteified.js';

/** The source model's way through text, and patches of so many bytes. */
export const PATCHES = ['source', 2, 3, BYTES_PER_TOKEN, 6, 8] as const;

export interface ByteifiedRow {
  size: string;
  backend: BackendName;
  patch: number | 'source';
  parameters: number;
  bytesPerSecond: number;
  /** Over the source model's. */
  speedRatio: number;
  bodyStepsPerByte: number;
  peakRssMb: number;
  cpuShare: number;
}

export interface ByteifiedOptions {
  sizes: readonly string[];
  backends: readonly BackendName[];
  patches?: readonly (number | 'source')[];
  rounds: number;
  seconds: number;
  threads: number;
  say: (line: string) => void;
}

/** Each model in a process of its own, all of them in turns. */
export async function byteifiedRows({ sizes, backends, patches = PATCHES, rounds, seconds, threads, say }: ByteifiedOptions): Promise<ByteifiedRow[]> {
  const rows: ByteifiedRow[] = [];
  for (const size of sizes)
    for (const backend of backends) {
      const runs = new Map(patches.map((p) => [p, [] as { result: ByteifiedResult; peakRssMb: number }[]]));
      for (let round = 0; round < rounds; round++)
        for (const patch of patches) {
          const out = await runJob<ByteifiedResult>({ kind: 'byteified', backend, size, patch, seconds }, threads);
          runs.get(patch)!.push(out);
          say(`${size} on ${backend}, ${named(patch)}: ${Math.round(out.result.meanBytesPerSecond)} bytes/s`);
        }
      const speeds = new Map([...runs].map(([patch, list]) => [patch, median(list.map((r) => r.result.meanBytesPerSecond))]));
      for (const [patch, list] of runs) {
        const { parameters, bodyStepsPerByte } = list[0]!.result;
        const bytesPerSecond = speeds.get(patch)!;
        const [peakRssMb, cpuShare] = [Math.max(...list.map((r) => r.peakRssMb)), mean(list.map((r) => r.result.cpuShare))];
        rows.push({ size, backend, patch, parameters, bytesPerSecond, speedRatio: bytesPerSecond / (speeds.get('source') ?? NaN), bodyStepsPerByte, peakRssMb, cpuShare });
      }
    }
  return rows;
}

const named = (patch: number | 'source') => (patch === 'source' ? 'source model' : `byteified, ${patch} bytes a patch`);

export function byteifiedTable(rows: readonly ByteifiedRow[]): string {
  const lines = rows.map((r) => [
    r.size,
    r.backend,
    named(r.patch),
    `${(r.parameters / 1e6).toFixed(1)} M`,
    Math.round(r.bytesPerSecond).toLocaleString('en'),
    r.speedRatio.toFixed(2),
    r.bodyStepsPerByte.toFixed(3),
    Math.round(r.peakRssMb).toLocaleString('en'),
    r.cpuShare.toFixed(2),
  ]);
  return [
    `Decoding 256 bytes behind 512, batch 1, random weights. The source model reads tokens of ${BYTES_PER_TOKEN} bytes out of ${SUBWORDS.toLocaleString('en')}; the byteified one has the same body, byte models around it, ` +
      'and its patch ends are forced to be so far apart. Below the bytes of a token the body takes more steps than the source model, above it fewer.',
    table(['body', 'backend', 'model', 'parameters', 'bytes/s', 'over source', 'body steps a byte', 'peak MB', 'CPUs had'], lines),
  ].join('\n\n');
}
