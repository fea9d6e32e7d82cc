import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { CANDIDATE_TILES, candidateTiles, shapeKey } from '../matmul/choose.js';
import { dense } from '../matmul/operands.js';
import { webGpuMatMul } from '../matmul/run.js';
import { storeDense } from '../matmul/store.js';
import { TILES, tileName, type Tile } from '../matmul/tile.js';
import { keepChoice, saveTuning, type TuningStore } from './choices.js';
import { measureCandidates, tunedBackend } from './measure.js';

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
 * first. Without it (and where nothing is stored) shapes go by a rule. Where `allowHalfPrecision` was called, tiles kept as f16 are candidates, too,
 * and those by matrix units where the device has `chromium-experimental-subgroup-matrix`.
 *
 * @throws BackendError on another backend than webgpu.
 * @example
 * await loadTuning(fileTuningStore());
 * await tuneProducts([{ m: 2048, n: 4096, k: 1024, transposeB: true }], { store: fileTuningStore() });
 */
export async function tuneProducts(shapes: readonly TunedShape[], { store, budget = 10, candidates, allowSoftware = false }: TuneOptions = {}): Promise<TuneResult[]> {
  const backend = tunedBackend('tuneProducts', allowSoftware);
  if (!backend) return [];
  const results: TuneResult[] = [];
  for (const shape of shapes) results.push(await tuneShape(backend, shape, candidates ?? candidateTiles(backend), budget));
  if (store) await saveTuning(store);
  return results;
}

async function tuneShape(backend: KernelBackend, shape: TunedShape, tiles: readonly Tile[], budget: number): Promise<TuneResult> {
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
  // Sums of k products of numbers in ±1, added in different orders; factors kept as f16 lose what lies below 2^-11 of them.
  const atol = (tile: Tile) => (tile.half ? 2 ** -9 * Math.sqrt(k) : 1e-6 * k) + 1e-5;
  const { best, ms, wrong } = await measureCandidates(backend, tiles.map((tile) => ({ name: tileName(tile), run: () => webGpuMatMul(backend, call(tile)), atol: atol(tile) })), budget);
  tf.dispose([a, b]);
  const tile = tiles[best]!;
  keepChoice(backend, key, { candidate: CANDIDATE_TILES.findIndex((t) => tileName(t) === tileName(tile)), ms });
  return { ...shape, tile: tileName(tile), ms, gflops: (2 * batch * m * n * k) / ms / 1e6, wrong };
}
