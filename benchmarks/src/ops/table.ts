import { table } from '../tables.js';

export interface Timing {
  ms: number;
  msP10: number;
  msP90: number;
  runs: number;
}

export interface OpRow {
  op: string;
  pass: 'forward' | 'backward';
  flops: number;
  bytes: number;
  fast?: Timing;
  portable?: Timing;
  /** Out of tfjs' own ops, or why that does not run. */
  stock?: Timing | string;
  /** Why there is no trustworthy time. */
  problem?: string;
}

export function opsTable(rows: readonly OpRow[]): string {
  const lines = rows.map((r) => {
    const { fast, portable, stock } = r;
    if (!fast || !portable) return [r.op, r.pass, '', '', '', '', '', '', r.problem ?? ''];
    const perSecond = 1000 / fast.ms;
    return [
      r.op,
      r.pass,
      `${fast.ms.toFixed(3)} (${fast.msP10.toFixed(3)} to ${fast.msP90.toFixed(3)})`,
      portable.ms.toFixed(3),
      `${(portable.ms / fast.ms).toFixed(1)}×`,
      stock === undefined ? '' : typeof stock === 'string' ? stock : stock.ms.toFixed(3),
      r.flops ? ((r.flops * perSecond) / 1e9).toFixed(1) : '',
      ((r.bytes * perSecond) / 1e9).toFixed(1),
      r.problem ?? '',
    ];
  });
  return table(['op', 'pass', 'kernel ms (p10 to p90)', 'portable ms', 'gain', 'stock tfjs ms', 'GFLOP/s', 'GB/s', ''], lines);
}
