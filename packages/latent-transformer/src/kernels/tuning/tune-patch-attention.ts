import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend } from '@tensorflow/tfjs-core';
import { keepChoice, measureCandidates, saveTuning, tunedBackend } from '@bytelm/core/webgpu';
import { canHaveForm, forwardOf, gradientsOf, PATCH_FORMS, patchFormName, patchKey, sizesOf } from '../patch-attention/webgpu.js';
import type { From, PatchForm } from '../patch-attention/webgpu-text.js';
import { listed, toleranceOf, type TuneAttentionOptions, type TunedKernel } from './best.js';

/** An attention between bytes and patches to tune. */
export interface PatchAttentionShape {
  /** Who asks: bytes (`slotAttention`) or the slots of patches (`poolAttention`). */
  queries: From;
  batch?: number;
  /** Bytes of a row. */
  length: number;
  patches: number;
  /** Queries or keys that stand for a patch. Default 1. */
  slots?: number;
  heads: number;
  dim: number;
  /** Default `dim`. */
  valueDim?: number;
}

export interface PatchAttentionTuning extends TuneAttentionOptions {
  /** Of the forms that there are, those to measure beside the one by rule; what the device has not is left out. Default all. */
  forms?: readonly PatchForm[];
}

/**
 * Measures the kernels of attention between bytes and patches for these shapes, and uses the best form from now on: threads of a workgroup, and
 * a thread to a head or, where the device has subgroups, eight that share its channels.
 *
 * @throws BackendError on another backend than webgpu.
 */
export async function tunePatchAttention(shapes: readonly PatchAttentionShape[], options: PatchAttentionTuning = {}): Promise<(PatchAttentionShape & TunedKernel)[]> {
  const backend = tunedBackend('tunePatchAttention', options.allowSoftware ?? false);
  if (!backend) return [];
  const results: (PatchAttentionShape & TunedKernel)[] = [];
  for (const shape of shapes) results.push(...(await tuneShape(backend, shape, options)));
  if (options.store) await saveTuning(options.store);
  return results;
}

async function tuneShape(backend: KernelBackend, shape: PatchAttentionShape, { budget = 10, forms }: PatchAttentionTuning): Promise<(PatchAttentionShape & TunedKernel)[]> {
  const { queries, batch = 1, length, patches, slots = 1, heads, dim, valueDim = dim } = shape;
  const [rule] = PATCH_FORMS as [PatchForm];
  const candidates = [rule, ...listed(PATCH_FORMS.slice(1), forms, patchFormName).filter((form) => canHaveForm(backend, form))];
  const random = (seed: number, ...size: number[]) => tf.randomUniform(size, -1, 1, 'float32', seed);
  const place = { bytes: [batch, length, heads], slots: [batch, patches, slots, heads] };
  const keys = queries === 'bytes' ? 'slots' : 'bytes';
  const ids = tf.tensor2d(Int32Array.from({ length: batch * length }, (_, i) => Math.floor(((i % length) * patches) / length)), [batch, length], 'int32');
  const inputs = { q: random(1, ...place[queries], dim), k: random(2, ...place[keys], dim), v: random(3, ...place[keys], valueDim), ids };
  const dy = random(4, ...place[queries], valueDim);
  const attrs = { scale: dim ** -0.5 };
  const results: (PatchAttentionShape & TunedKernel)[] = [];
  for (const pass of ['forward', 'gradients'] as const) {
    const run = (form: PatchForm) => (pass === 'forward' ? forwardOf(queries, form)({ inputs, attrs, backend })! : gradientsOf(queries, form)({ inputs: { ...inputs, dy }, attrs, backend })!);
    const { best, ms, wrong } = await measureCandidates(backend, candidates.map((form) => ({ name: patchFormName(form), run: () => run(form), atol: toleranceOf({}) })), budget);
    const choice = patchFormName(candidates[best]!);
    keepChoice(backend, patchKey(pass, queries, sizesOf(inputs, queries)), { candidate: PATCH_FORMS.findIndex((form) => patchFormName(form) === choice), ms });
    results.push({ ...shape, kernel: pass, choice, ms, wrong });
  }
  tf.dispose([...Object.values(inputs), dy]);
  return results;
}
