// One measurement in a process of its own, so that peak memory is that of the work and nothing else.
import { initBackend, type BackendName, type WeightFormat } from '@bytelm/core';
import type { Work } from './peers.js';
import { benchDecode, benchPrefill } from './work/decode.js';
import { readSplit } from './work/batches.js';
import { loadModel } from './work/family.js';
import { matmulGflops } from './work/measure.js';
import { benchTrain } from './work/train.js';
import { memoryOfTraining, stepsByContext } from './work/growth.js';

export interface ModelJob {
  kind: 'model';
  backend: BackendName;
  work: Work;
  /** Folder with model.safetensors and config.json. */
  weights: string;
  /** How matrices are kept. Default float32. */
  format?: WeightFormat | undefined;
  /** Decoding on webgpu: `false` steps without a recording. Default: as `generate` does. */
  recorded?: boolean | undefined;
  /** Folder that paths in the configuration are relative to. */
  peers: string;
  /** Target positions per chunk, for the ratio loss. */
  ratioTargets: number[];
  prose: string;
  seconds: number;
}

export interface ByteifiedJob {
  kind: 'byteified';
  backend: BackendName;
  size: string;
  /** `source`: the subword model. A number: the byteified one with patches of so many bytes. */
  patch: number | 'source';
  seconds: number;
}

export type GrowthJob = ContextJob | MemoryJob;

interface ContextJob extends GrowthSettings {
  kind: 'context';
}

interface MemoryJob extends GrowthSettings {
  kind: 'memory';
}

export interface GrowthSettings {
  backend: BackendName;
  preset: string;
  length: number;
}

export interface OpsJob {
  kind: 'ops';
  backend: BackendName;
  seconds: number;
  only?: string | undefined;
}

export type Job = ModelJob | ByteifiedJob | GrowthJob | OpsJob;

/** What every measurement reports besides its own numbers. */
export interface Envelope<R> {
  backend: BackendName;
  device: string;
  result: R;
  /** bytelm's own matMul on this backend. */
  ownMatmulGflopsBefore: number;
  ownMatmulGflopsAfter: number;
  /** Peak resident memory of the process, in MB, and what it was once everything was imported. */
  peakRssMb: number;
  importsRssMb: number;
}

export async function work(job: Job): Promise<Envelope<unknown>> {
  const { device } = await initBackend(job.backend);
  const importsRssMb = peakRss();
  const ownMatmulGflopsBefore = job.kind === 'memory' ? NaN : await matmulGflops();
  const result = await measure(job);
  const peakRssMb = peakRss();
  const ownMatmulGflopsAfter = job.kind === 'memory' ? NaN : await matmulGflops();
  return { backend: job.backend, device, result, ownMatmulGflopsBefore, ownMatmulGflopsAfter, peakRssMb, importsRssMb };
}

const peakRss = (): number => process.resourceUsage().maxRSS / 1024;

async function measure(job: Job): Promise<unknown> {
  if (job.kind === 'ops') return (await import('./ops/run.js')).benchOps(job);
  if (job.kind === 'context') return stepsByContext(job);
  if (job.kind === 'memory') return memoryOfTraining(job);
  if (job.kind === 'byteified') return (await import('./work/byteified.js')).benchByteified(job);
  const loaded = await loadModel(job);
  const { seconds, recorded } = job;
  if (job.work === 'train') return benchTrain(loaded, readSplit(job.prose, 'train'), { seconds });
  const text = readSplit(job.prose, 'valid');
  return job.work === 'prefill' ? benchPrefill(loaded, text, { seconds }) : benchDecode(loaded, text, { seconds, recorded });
}
