import { generate, Rng } from '@bytelm/core';
import { createHNet, HNET_PRESETS } from '@bytelm/example-hnet';
import { median } from './stats.js';

/** Decoding of a whole model on the device, its step recorded and replayed, and the same step by step. */
export interface GpuDecodeRow {
  model: string;
  /** Medians, batch 1. */
  recordedMs: number;
  steppedMs: number;
}

/** Bytes that count, behind some that compile. */
const [BYTES, WARM_UP] = [96, 16];

async function msPerByte(model: ReturnType<typeof createHNet>, recorded: boolean): Promise<number> {
  const spent: number[] = [];
  let begun = 0;
  const prompt = Int32Array.from({ length: 32 }, (_, t) => 97 + ((t * t) % 26));
  for await (const event of generate(model, [prompt], { maxBytes: WARM_UP + BYTES, eos: null, temperature: 0.8, rng: new Rng(1), recorded })) {
    if (event.type !== 'byte') continue;
    const now = performance.now();
    if (event.index > WARM_UP) spent.push(now - begun);
    begun = now;
  }
  return median(spent);
}

/** On the active webgpu backend, with initial weights. */
export async function gpuDecodeRows(presets: readonly string[], say: (line: string) => void): Promise<GpuDecodeRow[]> {
  const rows: GpuDecodeRow[] = [];
  for (const name of presets) {
    say(`decode ${name}`);
    const model = createHNet(HNET_PRESETS[name]!.config, { rng: new Rng(1) });
    rows.push({ model: name, recordedMs: await msPerByte(model, true), steppedMs: await msPerByte(model, false) });
    model.dispose();
  }
  return rows;
}

/** The rows as Markdown. */
export function gpuDecodeTable(rows: readonly GpuDecodeRow[]): string {
  const lines = rows.map(({ model, recordedMs, steppedMs }) => `| ${[model, (1000 / recordedMs).toFixed(0), (1000 / steppedMs).toFixed(0), (steppedMs / recordedMs).toPrecision(2)].join(' | ')} |`);
  return ['| decoding, batch 1 | recorded, bytes/s | step by step, bytes/s | times faster |', '|---|---|---|---|', ...lines].join('\n');
}
