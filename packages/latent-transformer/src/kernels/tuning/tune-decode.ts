import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { ConfigError } from '@bytelm/core';
import { keepChoice, saveTuning, tunedBackend } from '@bytelm/core/webgpu';
import { formName } from '../attention/webgpu-text.js';
import { canDecode, DECODE_BASES, DECODE_CANDIDATES, decodeKey, decodeOnWebGpu, rowsOnWebGpu, type DecodePlan } from '../decode-attention/webgpu.js';
import { fastest, listed, toleranceOf, type TuneAttentionOptions, type TunedKernel } from './best.js';

/** A step to tune: one query a row against a cache. */
export interface DecodeShape {
  /** Rows of the batch. Default 1. */
  rows?: number;
  /** Slots of the cache that a row sees. */
  reach: number;
  heads: number;
  /** Default `heads`. */
  kvHeads?: number;
  dim: number;
  /** Default `dim`. */
  valueDim?: number;
}

export interface DecodeTuning extends TuneAttentionOptions {
  /** Of the sizes that there are, those to measure beside the one by rule. Default all. */
  plans?: readonly DecodePlan[];
}

const nameOf = ({ share, block = 32, ...form }: DecodePlan): string => `shares of ${share}, ${block} keys${formName(form)}`;

/**
 * Measures how caches are best read at a step, and uses that from now on (steps recorded before stay as they are): keys that a workgroup has,
 * and of those at a time, maxima and sums by subgroups where the device has them, and queries and keys kept as f16 where `allowHalfPrecision`
 * was called.
 *
 * @throws BackendError on another backend than webgpu. @throws ConfigError for heads that the kernel cannot take.
 */
export async function tuneDecodeAttention(shapes: readonly DecodeShape[], options: DecodeTuning = {}): Promise<(DecodeShape & TunedKernel)[]> {
  const backend = tunedBackend('tuneDecodeAttention', options.allowSoftware ?? false);
  if (!backend) return [];
  const results: (DecodeShape & TunedKernel)[] = [];
  for (const shape of shapes) results.push({ ...shape, ...(await tuneShape(backend, shape, options)) });
  if (options.store) await saveTuning(options.store);
  return results;
}

async function tuneShape(backend: KernelBackend, { rows = 1, reach, heads, kvHeads = heads, dim, valueDim = dim }: DecodeShape, options: DecodeTuning): Promise<TunedKernel> {
  if (!canDecode(dim, valueDim, heads, kvHeads, rows)) throw new ConfigError(`[tuneDecodeAttention] expected heads that fit a workgroup, got ${rows} rows of ${heads} heads of ${dim} and ${valueDim}. Hint: those go by the portable form.`);
  const bases = [DECODE_BASES[0]!, ...listed(DECODE_BASES.slice(1), options.plans, nameOf)];
  const random = (seed: number, ...size: number[]) => tf.randomUniform(size, -1, 1, 'float32', seed);
  const [q, k, v] = [random(1, rows, heads, dim), random(2, rows, reach, kvHeads, dim), random(3, rows, reach, kvHeads, valueDim)];
  const each = (value: (i: number) => number) => Array.from({ length: rows }, (_, i) => value(i));
  const table = rowsOnWebGpu(backend, { cacheRows: each((i) => i), counts: each(() => reach) });
  const run = (plan: DecodePlan) => [decodeOnWebGpu(backend, { q, k, v, rows: table }, { heads, scale: dim ** -0.5, reach, plan })];
  const { choice, ms, wrong } = await fastest(backend, bases, (plan) => ({ name: nameOf(plan), run: () => run(plan), atol: toleranceOf(plan) }), options, true);
  tf.dispose([q, k, v]);
  backend.disposeData(table.dataId);
  keepChoice(backend, decodeKey({ rows, reach, heads, kvHeads, dim, valueDim }), { candidate: DECODE_CANDIDATES.findIndex((plan) => nameOf(plan) === nameOf(choice)), ms });
  return { kernel: 'decode', choice: nameOf(choice), ms, wrong };
}
