import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { ConfigError } from '@bytelm/core';
import { keepChoice, saveTuning, tunedBackend } from '@bytelm/core/webgpu';
import { attentionOp } from '../attention/op.js';
import type { AttentionAttrs } from '../attention/mask.js';
import { attentionGradWith, attentionWith, deviceWith } from '../attention/webgpu.js';
import { tileName, type AttentionTile } from '../attention/webgpu-shape.js';
import { attentionKey, basesOf, BYTES, CANDIDATES, ruleOf, type Pass } from '../attention/webgpu-tiles.js';
import { fastest, listed, toleranceOf, type TuneAttentionOptions, type TunedKernel } from './best.js';

/** An attention to tune: queries and keys of so many positions and heads. */
export interface AttentionShape {
  batch?: number;
  queries: number;
  /** Default `queries`. */
  keys?: number;
  heads: number;
  /** Default `heads`. */
  kvHeads?: number;
  dim: number;
  /** Default `dim`. */
  valueDim?: number;
  /** Default true. */
  causal?: boolean;
  /** Earlier positions that are seen; −1 (default): all. */
  windowLeft?: number;
  /** Rows hold several documents, or have a length each. */
  isMasked?: boolean;
}

export interface AttentionTuning extends TuneAttentionOptions {
  /** Default true. */
  gradients?: boolean;
  /** Of the sizes that there are, those to measure beside the one by rule; sizes that do not fit the device are left out. Default all. */
  tiles?: readonly AttentionTile[];
}

/**
 * Measures tiles and forms of the attention kernels for these shapes, and uses the best from now on: rows and columns that a workgroup takes,
 * threads, maxima by subgroups where the device has them, and tiles kept as f16 where `allowHalfPrecision` was called. Gradients are always of
 * float32 tiles. Without it (and where nothing is stored, `loadTuning`) shapes go by a rule.
 *
 * @throws BackendError on another backend than webgpu. @throws ConfigError for heads that no tile can take.
 * @example
 * await loadTuning(fileTuningStore());
 * await tuneAttention([{ queries: 2048, heads: 12, dim: 64 }], { store: fileTuningStore() });
 */
export async function tuneAttention(shapes: readonly AttentionShape[], options: AttentionTuning = {}): Promise<(AttentionShape & TunedKernel)[]> {
  const backend = tunedBackend('tuneAttention', options.allowSoftware ?? false);
  if (!backend) return [];
  const results: (AttentionShape & TunedKernel)[] = [];
  for (const shape of shapes) {
    for (const pass of PASSES.slice(0, options.gradients === false ? 1 : 3)) results.push({ ...shape, ...(await tunePass(backend, shape, pass, options)) });
  }
  if (options.store) await saveTuning(options.store);
  return results;
}

const PASSES: readonly Pass[] = ['forward', 'queries', 'keys'];

async function tunePass(backend: KernelBackend, shape: AttentionShape, pass: Pass, options: AttentionTuning): Promise<TunedKernel> {
  const { batch = 1, queries, keys = queries, heads, kvHeads = heads, dim, valueDim = dim, causal = true, windowLeft = -1, isMasked = false } = shape;
  const { memory, isSoftware } = deviceWith(backend, () => undefined);
  const text = { dim, valueDim, isMasked, isRolled: isSoftware };
  const rule = ruleOf(pass, text, { memory, isSoftware });
  if (!rule) throw new ConfigError(`[tuneAttention] expected heads that fit the device's workgroup memory, got widths of ${dim} and ${valueDim}. Hint: those go by the portable form.`);
  const bases = [rule, ...listed(basesOf(pass), options.tiles, tileName).filter((tile) => BYTES[pass]({ ...text, ...tile }) <= memory && tileName(tile) !== tileName(rule))];
  const attrs: AttentionAttrs = { scale: dim ** -0.5, causal, queryOffset: 0, windowLeft, segmentRule: 'equal' };
  const random = (seed: number, ...size: number[]) => tf.randomUniform(size, -1, 1, 'float32', seed);
  // Documents of a quarter of a row.
  const segments = (length: number) => tf.tensor2d(Int32Array.from({ length: batch * length }, (_, i) => Math.floor(((i % length) * 4) / length)), [batch, length], 'int32');
  const inputs = {
    q: random(1, batch, queries, heads, dim),
    k: random(2, batch, keys, kvHeads, dim),
    v: random(3, batch, keys, kvHeads, valueDim),
    ...(isMasked && { querySegments: segments(queries), keySegments: segments(keys) }),
  };
  const [y, lse] = attentionOp(inputs, attrs);
  const dy = random(4, ...y!.shape);
  const backward = { ...inputs, dy, lse: lse!, delta: tf.tidy(() => tf.transpose(tf.sum(tf.mul(dy, y!), -1), [0, 2, 1])) };
  const run = (tile: AttentionTile) => {
    const device = () => deviceWith(backend, (p) => (p === pass ? tile : undefined));
    return pass === 'forward' ? attentionWith(device)({ inputs, attrs, backend })! : attentionGradWith(device)({ inputs: backward, attrs, backend })!;
  };
  const { choice, ms, wrong } = await fastest(backend, bases, (tile) => ({ name: tileName(tile), run: () => run(tile), atol: toleranceOf(tile) }), options, pass === 'forward');
  tf.dispose([...Object.values(backward), y!]);
  const candidate = CANDIDATES[pass].findIndex((tile) => tileName(tile) === tileName(choice));
  keepChoice(backend, attentionKey(pass, { batch, queries, keys, heads, dim, valueDim, isMasked }), { candidate, ms });
  return { kernel: pass, choice: tileName(choice), ms, wrong };
}
