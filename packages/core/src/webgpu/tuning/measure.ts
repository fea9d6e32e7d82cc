import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { asWebGpu } from '../../backend/webgpu-backend.js';
import { BackendError } from '../../errors.js';
import { isSoftwareDevice } from '../adapter.js';
import { flush } from '../recorder-capture.js';

/** One way to run a kernel. */
export interface Candidate {
  name: string;
  run: () => readonly TensorInfo[];
  /** How far its values may be from those of the first candidate. */
  atol: number;
}

/** What came out of it. */
export interface Measured {
  /** Number of the fastest candidate. */
  best: number;
  ms: number;
  /** Candidates whose values differ from those of the first: a driver's fault. They are never chosen. */
  wrong: string[];
}

/**
 * The backend to tune on; `undefined` where the adapter is emulated on the CPU, whose defaults are as good, and that is not asked for.
 * @throws BackendError on another backend than webgpu.
 */
export function tunedBackend(where: string, allowSoftware: boolean): KernelBackend | undefined {
  if (tf.getBackend() !== 'webgpu') throw new BackendError(`[${where}] expected the backend webgpu, the active one is ${tf.getBackend()}.`);
  const backend = tf.backend() as KernelBackend;
  return isSoftwareDevice(backend) && !allowSoftware ? undefined : backend;
}

/** Times candidates one after the other, and compares their values with those of the first, which is taken to be right. */
export async function measureCandidates(backend: KernelBackend, candidates: readonly Candidate[], budget: number): Promise<Measured> {
  let expected: Float32Array[] | undefined;
  let measured: Measured | undefined;
  const wrong: string[] = [];
  for (const [i, { name, run, atol }] of candidates.entries()) {
    const values: Float32Array[] = [];
    for (const info of run()) values.push(await valuesOf(info));
    expected ??= values;
    if (!values.every((v, o) => v.every((x, at) => Math.abs(x - expected![o]![at]!) <= atol))) {
      wrong.push(name);
      continue;
    }
    const ms = await timeOf(backend, run, budget);
    if (!measured || ms < measured.ms) measured = { best: i, ms, wrong };
  }
  if (!measured) throw new BackendError(`[tuning] the values of ${candidates[0]?.name ?? 'no candidate'} are not finite.`);
  return measured;
}

async function valuesOf(info: TensorInfo): Promise<Float32Array> {
  const t = tf.engine().makeTensorFromTensorInfo(info);
  const values = (await t.data()) as Float32Array;
  t.dispose();
  return values;
}

/** Milliseconds of one run, the best of three rounds that each fill the budget. */
export async function timeOf(backend: KernelBackend, run: () => TensorInfo | readonly TensorInfo[], budget: number): Promise<number> {
  const { queue } = asWebGpu(backend).device;
  const rounds = async (count: number) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) for (const { dataId } of [run()].flat()) backend.disposeData(dataId);
    flush(asWebGpu(backend));
    await queue.onSubmittedWorkDone();
    return (performance.now() - start) / count;
  };
  const first = await rounds(1);
  const count = Math.max(1, Math.min(200, Math.round(budget / Math.max(first, 0.05))));
  let best = Infinity;
  for (let i = 0; i < 3; i++) best = Math.min(best, await rounds(count));
  return best;
}
