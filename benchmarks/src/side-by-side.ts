import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendName, WeightFormat } from '@bytelm/core';
import { load } from './machine.js';
import { machineMatmul, peerProse, runPeer, saveWeights, type PeerOptions, type PeerResult, type Work } from './peers.js';
import { runJob } from './processes.js';
import { mean, median } from './stats.js';
import type { DecodeResult } from './work/decode.js';
import type { TrainResult } from './work/train.js';

/** One measurement on one side, with how fast the machine was around it. */
export interface Run {
  bytesPerSecond: number;
  /** GFLOP/s of PyTorch's 1024³ product right before and after. */
  machineGflops: [before: number, after: number];
  /** Of the side's own product: PyTorch's, or bytelm's on its backend. */
  ownGflops: [before: number, after: number];
  peakRssMb: number;
  /** Load average of the last minute at the start. */
  load: number;
  bytesPerChunk: number[];
  /** Processors' worth of CPU time the process had (bytelm only). */
  cpuShare?: number;
  firstLoss?: number;
  msPerStepMedian?: number;
  msPerStepP99?: number;
  device?: string;
}

/**
 * Who did the work: PyTorch by hand, or (BLT) as transformers ships it; bytelm on a backend, there with matrices kept in bf16, or decoding
 * without a recorded step.
 */
export type Side = 'pytorch' | 'pytorch as shipped' | BackendName | `${BackendName} bf16` | 'webgpu step by step';

/** All runs of one side. */
export interface Row {
  config: string;
  work: Work;
  side: Side;
  runs: Run[];
  bytesPerSecond: number;
  /** bytes/s per GFLOP/s of the machine at that moment. */
  normalized: number;
  /** Attained FLOP/s over the machine's matmul rate. */
  shareOfMatmul: number;
  peakRssMb: number;
  mflopPerByte: number;
  /** This side's normalized speed over PyTorch's; absent for PyTorch, and for what is no equal of it (bf16). */
  speedRatio?: number;
  /** The same over PyTorch as shipped. */
  shippedRatio?: number;
  memoryRatio?: number;
  /** What the two sides' numbers differ in, if anything: then speeds say nothing. */
  disagreement?: string;
  compile?: string;
}

export interface SideBySideOptions {
  configs: readonly string[];
  works: readonly Work[];
  backends: readonly BackendName[];
  rounds: number;
  seconds: number;
  peers: PeerOptions;
  /** Decode once more with matrices kept in bf16, where a backend has a kernel for it; a row of its own, compared with nothing. */
  bf16?: boolean | undefined;
  /** Decode once more on webgpu without recording the step; a row of its own. */
  stepped?: boolean | undefined;
  say: (line: string) => void;
}

/** Times both sides on the same weights in turns; returns a row per config, work and side. */
export async function sideBySide(options: SideBySideOptions): Promise<{ rows: Row[]; torch: string }> {
  const { configs, works, rounds, seconds, peers, say } = options;
  const targets = JSON.parse(readFileSync(join(peers.dir, 'configs.json'), 'utf8')) as Record<string, { bytes_per_chunk: number[] }>;
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-bench-'));
  const rows: Row[] = [];
  let torch = '';
  try {
    for (const config of configs) {
      const weights = join(folder, config);
      say(`${config}: weights from the peer`);
      await saveWeights(peers, config, weights);
      for (const work of works) {
        const peerRuns: PeerResult[] = [];
        const sides = ownSides(options, work);
        const own = new Map<Side, Run[]>(sides.map(({ side }) => [side, []]));
        const shipped: PeerResult[] = [];
        const isBlt = config.startsWith('blt');
        for (let round = 0; round < rounds; round++) {
          const peer = await runPeer(peers, { config, work, seconds, weights: join(weights, 'model.safetensors') });
          peerRuns.push(peer);
          torch = peer.torch;
          say(`  ${work} pytorch: ${Math.round(speedOf(peer))} bytes/s, ${Math.round(peer.peak_rss_mb)} MB`);
          if (isBlt && work === 'decode' && round === 0) {
            shipped.push(await runPeer(peers, { config, work, seconds: 1, weights: join(weights, 'model.safetensors'), impl: 'shipped' }));
            say(`  ${work} pytorch as shipped: ${speedOf(shipped[0]!).toFixed(1)} bytes/s`);
          }
          let before = await machineMatmul(peers);
          for (const { side, backend, format, recorded } of sides) {
            const started = load();
            const out = await runJob<TrainResult | DecodeResult>(
              { kind: 'model', backend, work, weights, format, recorded, peers: peers.dir, ratioTargets: targets[config]!.bytes_per_chunk, prose: peerProse(peers), seconds },
              peers.threads,
            );
            const after = await machineMatmul(peers);
            const r = out.result;
            own.get(side)!.push({
              bytesPerSecond: work === 'decode' ? r.meanBytesPerSecond : r.bytesPerSecond,
              machineGflops: [before, after],
              ownGflops: [out.ownMatmulGflopsBefore, out.ownMatmulGflopsAfter],
              peakRssMb: out.peakRssMb,
              load: started,
              bytesPerChunk: r.bytesPerChunk,
              device: out.device,
              cpuShare: r.cpuShare,
              ...('firstLoss' in r && { firstLoss: r.firstLoss }),
              ...('msPerStepMedian' in r && { msPerStepMedian: r.msPerStepMedian, msPerStepP99: r.msPerStepP99 }),
            });
            say(`  ${work} ${side}: ${Math.round(own.get(side)!.at(-1)!.bytesPerSecond)} bytes/s, ${Math.round(out.peakRssMb)} MB`);
            before = after;
          }
        }
        const peerRow = rowOf(config, work, 'pytorch', peerRuns.map(fromPeer), peerRuns[0]!.mflop_per_byte);
        peerRow.compile = peerRuns[0]!.compile;
        rows.push(peerRow);
        const shippedRow = shipped.length ? rowOf(config, work, 'pytorch as shipped', shipped.map(fromPeer), peerRow.mflopPerByte) : undefined;
        if (shippedRow) rows.push(shippedRow);
        for (const { side, format } of sides) {
          const row = rowOf(config, work, side, own.get(side)!, peerRow.mflopPerByte);
          rows.push(format === 'bf16' ? row : against(peerRow, shippedRow, row));
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { rows, torch };
}

interface OwnSide {
  side: Side;
  backend: BackendName;
  format: WeightFormat;
  recorded?: boolean;
}

/** bytelm's sides for one kind of work; only wasm multiplies packed weights as it reads them, only webgpu records steps. */
export function ownSides({ backends, bf16, stepped }: Pick<SideBySideOptions, 'backends' | 'bf16' | 'stepped'>, work: Work): OwnSide[] {
  const sides: OwnSide[] = backends.map((backend) => ({ side: backend, backend, format: 'float32' }));
  if (work !== 'decode') return sides;
  if (bf16 && backends.includes('wasm')) sides.push({ side: 'wasm bf16', backend: 'wasm', format: 'bf16' });
  if (stepped && backends.includes('webgpu')) sides.push({ side: 'webgpu step by step', backend: 'webgpu', format: 'float32', recorded: false });
  return sides;
}

/** For decoding all bytes over all time: the median hides the bytes that close a chunk. */
const speedOf = (p: PeerResult): number => p.bytes_per_s_decoding ?? p.bytes_per_s;

const fromPeer = (p: PeerResult): Run => ({
  bytesPerSecond: speedOf(p),
  machineGflops: [p.matmul_gflops_before, p.matmul_gflops_after],
  ownGflops: [p.matmul_gflops_before, p.matmul_gflops_after],
  peakRssMb: p.peak_rss_mb,
  load: p.load_average,
  bytesPerChunk: p.bytes_per_chunk,
  ...(p.first_loss !== undefined && { firstLoss: p.first_loss }),
  ...(p.ms_per_step_median !== undefined && { msPerStepMedian: p.ms_per_step_median, msPerStepP99: p.ms_per_step_p99! }),
});

function rowOf(config: string, work: Work, side: Row['side'], runs: Run[], mflopPerByte: number): Row {
  const speed = median(runs.map((r) => r.bytesPerSecond));
  // Each run is divided by the speed the machine had around that very run.
  const normalized = median(runs.map((r) => r.bytesPerSecond / mean(r.machineGflops)));
  return {
    config,
    work,
    side,
    runs,
    bytesPerSecond: speed,
    normalized,
    shareOfMatmul: (normalized * mflopPerByte) / 1000,
    peakRssMb: Math.max(...runs.map((r) => r.peakRssMb)),
    mflopPerByte,
  };
}

function against(peer: Row, shipped: Row | undefined, own: Row): Row {
  const disagreement = disagreementOf(peer.runs[0]!, own.runs[0]!);
  return {
    ...own,
    speedRatio: own.normalized / peer.normalized,
    ...(shipped && { shippedRatio: own.normalized / shipped.normalized }),
    memoryRatio: own.peakRssMb / peer.peakRssMb,
    ...(disagreement && { disagreement }),
  };
}

/** Same weights, same bytes: the first loss must agree, and chunks must close equally often. */
export function disagreementOf(peer: Pick<Run, 'firstLoss' | 'bytesPerChunk'>, own: Pick<Run, 'firstLoss' | 'bytesPerChunk'>): string | undefined {
  if (peer.firstLoss !== undefined && !(Math.abs(peer.firstLoss - own.firstLoss!) <= 1e-3)) return `first loss ${own.firstLoss}, PyTorch ${peer.firstLoss}`;
  const chunks = peer.bytesPerChunk.map((n, s) => Math.abs((own.bytesPerChunk[s] ?? Infinity) / n - 1));
  if (chunks.some((d) => !(d <= 0.02))) return `bytes per chunk ${own.bytesPerChunk.map((n) => n.toFixed(3)).join(' x ')}, PyTorch ${peer.bytesPerChunk.join(' x ')}`;
  return undefined;
}
