import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { asWebGpu } from '../../backend/webgpu-backend.js';
import { BackendError } from '../../errors.js';
import { isSoftwareDevice } from '../adapter.js';
import { possibleTiles, shapeKey } from '../matmul/choose.js';
import { dense } from '../matmul/operands.js';
import { webGpuMatMul } from '../matmul/run.js';
import { storeDense } from '../matmul/store.js';
import { TILES, tileName, type Tile } from '../matmul/tile.js';
import { flush } from '../recorder-capture.js';
import { choicesOf, saveTuning, type TunedChoice, type TuningStore } from './choices.js';

/** A product to tune: C (m, n) of A (m, k) and B (k, n), each as it stands in memory. */
export interface TunedShape {
  batch?: number;
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
}

export interface TuneOptions {
  /** Measured choices are saved there. */
  store?: TuningStore;
  /** Time for one candidate, ms. Default 10. */
  budget?: number;
  /** Of the generator's tiles, those to measure. Default all. */
  candidates?: readonly Tile[];
  /** Also on adapters emulated on the CPU, where the defaults are as good. Default false. */
  allowSoftware?: boolean;
}

/** What was found for one shape. */
export interface TuneResult extends TunedShape {
  tile: string;
  ms: number;
  gflops: number;
  /** Candidates whose result differs from that of the first: a driver's fault. They are never chosen. */
  wrong: string[];
}

/**
 * Measures the candidates for products of these shapes, and uses the best from now on. Every candidate's result is compared with that of the
 * first. Without it (and where nothing is stored) shapes go by a rule.
 *
 * @throws BackendError on another backend than webgpu.
 * @example
 * await loadTuning(fileTuningStore());
 * await tuneProducts([{ m: 2048, n: 4096, k: 1024, transposeB: true }], { store: fileTuningStore() });
 */
export async function tuneProducts(shapes: readonly TunedShape[], { store, budget = 10, candidates = possibleTiles({ isPaired: false }), allowSoftware = false }: TuneOptions = {}): Promise<TuneResult[]> {
  if (tf.getBackend() !== 'webgpu') throw new BackendError(`[tuneProducts] expected the backend webgpu, the active one is ${tf.getBackend()}.`);
  const backend = tf.backend() as KernelBackend;
  if (isSoftwareDevice(backend) && !allowSoftware) return [];
  const results: TuneResult[] = [];
  for (const shape of shapes) results.push(await tuneShape(backend, shape, candidates, budget));
  if (store) await saveTuning(store);
  return results;
}

async function tuneShape(backend: KernelBackend, shape: TunedShape, candidates: readonly Tile[], budget: number): Promise<TuneResult> {
  const { batch = 1, m, n, k, transposeA = false, transposeB = false } = shape;
  const a = tf.randomUniform([batch, m * k], -1, 1, 'float32', 1);
  const b = tf.randomUniform([batch, k * n], -1, 1, 'float32', 2);
  const call = (tile: Tile) => ({
    key: 'product',
    batch,
    m,
    n,
    k,
    a: dense('a', a, { sizes: { outer: m, k }, outer: transposeA ? 1 : k, k: transposeA ? m : 1, batch: [m * k, 0] }),
    b: dense('b', b, { sizes: { outer: n, k }, outer: transposeB ? k : 1, k: transposeB ? 1 : n, batch: [k * n, 0] }),
    epilogue: storeDense({ out: { shape: [batch, m, n] }, m, n }),
    tile,
  });
  const { a: A, b: B } = call(TILES[0]!);
  const key = shapeKey({ batch, m, n, k, forms: `${A.along}${A.width} ${B.along}${B.width}`, isPaired: false });
  let expected: Float32Array | undefined;
  let best: TunedChoice | undefined;
  const wrong: string[] = [];
  for (const tile of candidates) {
    const run = () => webGpuMatMul(backend, call(tile))[0]!;
    const values = await valuesOf(run());
    expected ??= values;
    if (!agree(values, expected, k)) {
      wrong.push(tileName(tile));
      continue;
    }
    const ms = await timeOf(backend, run, budget);
    if (!best || ms < best.ms) best = { candidate: TILES.indexOf(tile), ms };
  }
  tf.dispose([a, b]);
  choicesOf(backend)[key] = best!;
  return { ...shape, tile: tileName(TILES[best!.candidate]!), ms: best!.ms, gflops: (2 * batch * m * n * k) / best!.ms / 1e6, wrong };
}

async function valuesOf(info: TensorInfo): Promise<Float32Array> {
  const t = tf.engine().makeTensorFromTensorInfo(info);
  const values = (await t.data()) as Float32Array;
  t.dispose();
  return values;
}

/** Sums of k products of numbers in ±1, added in different orders. */
const agree = (x: Float32Array, y: Float32Array, k: number): boolean => x.every((v, i) => Math.abs(v - y[i]!) <= 1e-6 * k + 1e-5);

/** Milliseconds of one run, the best of three rounds that each fill the budget. */
export async function timeOf(backend: KernelBackend, run: () => TensorInfo, budget: number): Promise<number> {
  const { queue } = asWebGpu(backend).device;
  const rounds = async (count: number) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) backend.disposeData(run().dataId);
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
