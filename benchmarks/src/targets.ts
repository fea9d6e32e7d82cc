import type { Row } from './side-by-side.js';

export interface Target {
  what: string;
  wanted: string;
  attained: string;
  met: boolean;
}

/** What this project promises to reach on the same machine in the same run, against PyTorch at two threads. */
export function targetsOf(row: Row): Target[] {
  const out: Target[] = [];
  const speed = (least: number) => out.push({ what: 'speed', wanted: `≥ ${least}×`, attained: `${row.speedRatio!.toFixed(2)}×`, met: row.speedRatio! >= least });
  if (row.side === 'tensorflow' && row.work === 'train') {
    speed(0.5);
    out.push({ what: 'memory', wanted: '≤ 1.5×', attained: `${row.memoryRatio!.toFixed(2)}×`, met: row.memoryRatio! <= 1.5 });
  }
  if (row.side === 'tensorflow' && row.work === 'prefill' && row.config.startsWith('blt')) speed(0.7);
  if (row.side === 'wasm' && row.work === 'train') speed(0.15);
  if (row.side === 'wasm' && row.work === 'decode') {
    speed(2);
    if (row.shippedRatio !== undefined) {
      out.push({ what: 'over generate as shipped', wanted: '≥ 50×', attained: `${row.shippedRatio.toFixed(0)}×`, met: row.shippedRatio >= 50 });
    }
    if (row.config === 'demo') out.push({ what: 'bytes/s', wanted: '≥ 2000', attained: String(Math.round(row.bytesPerSecond)), met: row.bytesPerSecond >= 2000 });
  }
  return out;
}
