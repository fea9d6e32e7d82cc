import type { Machine } from './machine.js';
import type { Row } from './side-by-side.js';
import { targetsOf } from './targets.js';
import { mean, median } from './stats.js';

export interface ResultFile<T> {
  name: string;
  date: string;
  machine: Machine;
  torch?: string;
  threads?: number;
  rounds?: number;
  seconds?: number;
  rows: T[];
}

/** A markdown table; cells are written as they are. */
export function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...lines.map(row)].join('\n');
}

export function machineLine({ machine: m, torch, date }: Pick<ResultFile<unknown>, 'machine' | 'torch' | 'date'>): string {
  const versions = [`Node ${m.node}`, `tfjs ${m.tfjs}`, ...(torch ? [`torch ${torch}`] : [])].join(', ');
  return `${date.slice(0, 16).replace('T', ' ')} UTC, commit ${m.commit}. ${m.cpu}, ${m.cores} cores, ${m.memoryGB} GB, ${m.os}. ${versions}.`;
}

/** The page of a side-by-side run. */
export function sideBySideTable(file: ResultFile<Row>): string {
  const { rows, rounds, seconds, threads } = file;
  const lines = rows.map((r) => {
    const isPeer = r.side.startsWith('pytorch');
    const targets = r.speedRatio === undefined ? [] : targetsOf(r);
    const own = mean(r.runs.flatMap((x) => x.ownGflops));
    const steps = r.runs[0]!.msPerStepMedian === undefined ? '' : `${median(r.runs.map((x) => x.msPerStepMedian!)).toFixed(2)} / ${median(r.runs.map((x) => x.msPerStepP99!)).toFixed(2)}`;
    return [
      r.config,
      r.work,
      isPeer ? `PyTorch${r.side.slice('pytorch'.length)}${r.compile === 'on' ? ' (compiled)' : ''}` : `bytelm ${r.side}`,
      Math.round(r.bytesPerSecond).toLocaleString('en'),
      r.speedRatio === undefined ? (r.side === 'pytorch' ? '1' : '') : `${r.speedRatio.toFixed(2)}${r.disagreement ? ' (numbers differ)' : ''}`,
      Math.round(r.peakRssMb).toLocaleString('en'),
      r.memoryRatio === undefined ? (r.side === 'pytorch' ? '1' : '') : r.memoryRatio.toFixed(2),
      r.shareOfMatmul.toPrecision(2),
      own.toFixed(0),
      steps,
      r.runs.flatMap((x) => x.bytesPerChunk[0] ?? [])[0]?.toFixed(2) ?? '',
      mean(r.runs.map((x) => x.load)).toFixed(1),
      r.runs[0]!.cpuShare === undefined ? '' : mean(r.runs.map((x) => x.cpuShare!)).toFixed(2),
      targets.map((t) => `${t.what} ${t.wanted}: ${t.met ? 'met' : '**missed**'}${t.what.startsWith('over') ? ` (${t.attained})` : ''}`).join('; '),
    ];
  });
  const disagreements = rows.filter((r) => r.disagreement).map((r) => `- ${r.config} ${r.work} ${r.side}: ${r.disagreement}`);
  return [
    `# ${file.name}: bytelm beside PyTorch`,
    machineLine(file),
    `Same weights, same bytes, ${rounds} round${rounds === 1 ? '' : 's'} in turns of about ${seconds} s each, ${threads} threads (wasm: one). "speed" is bytes/s over PyTorch's, each divided by the machine's matmul rate ` +
      'around that run; "share of matmul" is attained FLOP/s over the same rate; "own matmul" is GFLOP/s of the side\'s own 1024³ product. Peak memory is that of the process, interpreter and libraries included. ' +
      (rows.some((r) => r.side.endsWith(' bf16')) ? '"bf16": matrices rounded and kept in half the memory, so other numbers, compared with nothing here. ' : '') +
      (rows.some((r) => r.side === 'webgpu step by step') ? 'On webgpu a step is recorded and replayed, as `generate` does; "step by step": not recorded. ' : '') +
      (rows.some((r) => r.side === 'pytorch as shipped') ? '"as shipped": transformers\' own model, which generates without a cache (its cache gives wrong bytes). ' : '') +
      'Decoding: prose fed after a prompt of 512 bytes, batch 1, all bytes over all time. "CPUs had": CPU time over wall time; well below 1 the machine was busy with other things, and the row says little.',
    table(['config', 'work', 'side', 'bytes/s', 'speed', 'peak MB', 'memory', 'share of matmul', 'own matmul', 'step ms median / p99', 'bytes/chunk', 'load', 'CPUs had', 'wanted'], lines),
    ...(disagreements.length ? ['The two sides disagree, so these speeds say nothing:', disagreements.join('\n')] : []),
    '',
  ].join('\n\n');
}
