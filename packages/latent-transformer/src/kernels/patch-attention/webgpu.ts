import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import { canReduceInSubgroups, sizeBucket, tunedChoice } from '@bytelm/core/webgpu';
import type { PatchAttentionAttrs, PatchAttentionInput } from './shapes.js';
import { forwardCode, keyGradCode, LANES, queryGradCode, RUNS, type Channels, type From, type PatchForm } from './webgpu-text.js';

/** Forms that a tuner may try; the first is the one by rule. Measured choices are numbers in this list. */
export const PATCH_FORMS: readonly PatchForm[] = [false, true].flatMap((subgroups) => [64, 128, 256, 32].map((threads) => ({ threads, ...(subgroups && { subgroups }) })));
export const canHaveForm = (backend: KernelBackend, { threads, subgroups }: PatchForm): boolean => !subgroups || canReduceInSubgroups(backend, { lanes: LANES, threads });
export const patchFormName = ({ threads, subgroups }: PatchForm): string => `${threads} threads${subgroups ? ', subgroups' : ''}`;

type Input = PatchAttentionInput | 'dy';
type Inputs = { [K in Input]?: TensorInfo };

/** @param queries who asks; the others hold keys and values. */
export function sizesOf({ q, k, v }: Inputs, queries: From): readonly number[] {
  const [bytes, slots] = queries === 'bytes' ? [q!, k!] : [k!, q!];
  const [B, L] = bytes.shape as [number, number];
  return [B, L, slots.shape[1]!, slots.shape[2]!, q!.shape.at(-2)!, q!.shape.at(-1)!, v!.shape.at(-1)!];
}

const channelsOf = (sizes: readonly number[]): Channels => (sizes[5]! % 4 || sizes[6]! % 4 ? 'f32' : 'vec4f');

function uniformsOf(sizes: readonly number[], { scale }: PatchAttentionAttrs): ArrayBuffer {
  const per = channelsOf(sizes) === 'vec4f' ? 4 : 1;
  const words = Int32Array.of(...sizes.slice(0, 5), sizes[5]! / per, sizes[6]! / per, 0);
  new Float32Array(words.buffer)[sizes.length] = scale;
  return words.buffer;
}

type Pass = 'forward' | 'gradients';

/** What choices are noted for: who asks, and about how much. */
export const patchKey = (pass: Pass, queries: From, [B, L, M, S, H, dim, valueDim]: readonly number[]): string =>
  `attention of patches ${pass} ${queries} ${dim}, ${valueDim} ${[B! * L! * H!, B! * M! * S! * H!].map(sizeBucket).join()}`;

function formOf(backend: KernelBackend, pass: Pass, queries: From, sizes: readonly number[]): PatchForm {
  const number = tunedChoice(backend, patchKey(pass, queries, sizes));
  const form = number === undefined ? undefined : PATCH_FORMS[number];
  return form && canHaveForm(backend, form) ? form : PATCH_FORMS[0]!;
}

interface Call {
  name: string;
  code: () => string;
  inputs: readonly TensorInfo[];
  shapes: readonly number[][];
  uniforms: ArrayBuffer;
  /** Heads of queries or of keys, and what has each of them. */
  heads: number;
  form: PatchForm;
}

const run = (backend: KernelBackend, { name, code, inputs, shapes, uniforms, heads, form }: Call): TensorInfo[] =>
  dispatchWebGpu(backend, {
    key: `patch attention ${name}, ${patchFormName(form)}`,
    code,
    inputs,
    outputs: shapes.map((shape) => ({ shape })),
    uniforms,
    workgroups: workgroupGrid(backend, Math.ceil((heads * (form.subgroups ? LANES : 1)) / form.threads)),
  });

/** The index that bytes or slots look through, and how many heads look. */
function indexOf(backend: KernelBackend, from: From, ids: TensorInfo, sizes: readonly number[], uniforms: ArrayBuffer): { index: TensorInfo; heads: number } {
  const [B, L, M, S, H] = sizes as [number, number, number, number, number];
  if (from === 'bytes') return { index: ids, heads: B * L * H };
  const [runs] = dispatchWebGpu(backend, { key: 'patch attention runs', code: RUNS, inputs: [ids], outputs: [{ shape: [B * M, 2], dtype: 'int32' }], uniforms, workgroups: workgroupGrid(backend, B) });
  return { index: runs!, heads: B * M * S * H };
}

const isEmpty = ([B, L, M]: readonly number[]) => B! * L! * M! === 0;
const other = (from: From): From => (from === 'bytes' ? 'slots' : 'bytes');

/** @param given the form, for the tuner. */
export const forwardOf =
  (queries: From, given?: PatchForm): FastKernel<PatchAttentionInput, PatchAttentionAttrs> =>
  ({ inputs, attrs, backend }) => {
    const { q, k, v, ids } = inputs as Required<Inputs>;
    const sizes = sizesOf(inputs, queries);
    if (isEmpty(sizes)) return null;
    const uniforms = uniformsOf(sizes, attrs);
    const { index, heads } = indexOf(backend, queries, ids, sizes, uniforms);
    const channels = channelsOf(sizes);
    const form = given ?? formOf(backend, 'forward', queries, sizes);
    const shapes = [[...q.shape.slice(0, -1), v.shape.at(-1)!]];
    const y = run(backend, { name: `forward of ${queries}, ${channels}`, code: () => forwardCode(queries, channels, form), inputs: [q, k, v, index], shapes, uniforms, heads, form });
    if (index !== ids) backend.disposeData(index.dataId);
    return y;
  };

/** @param given the form, for the tuner. */
export const gradientsOf =
  (queries: From, given?: PatchForm): FastKernel<Input, PatchAttentionAttrs> =>
  ({ inputs, attrs, backend }) => {
    const { q, k, v, ids, dy } = inputs as Required<Inputs>;
    const sizes = sizesOf(inputs, queries);
    if (isEmpty(sizes)) return null;
    const uniforms = uniformsOf(sizes, attrs);
    const keys = other(queries);
    const channels = channelsOf(sizes);
    const form = given ?? formOf(backend, 'gradients', queries, sizes);
    const [forQueries, forKeys] = [indexOf(backend, queries, ids, sizes, uniforms), indexOf(backend, keys, ids, sizes, uniforms)];
    const [dq, kept] = run(backend, {
      name: `queries of ${queries}, ${channels}`,
      code: () => queryGradCode(queries, channels, form),
      inputs: [q, k, v, dy, forQueries.index],
      shapes: [q.shape, [forQueries.heads, 2]],
      uniforms,
      heads: forQueries.heads,
      form,
    });
    const [dk, dv] = run(backend, {
      name: `keys of ${keys}, ${channels}`,
      code: () => keyGradCode(keys, channels, form),
      inputs: [q, k, v, dy, kept!, forKeys.index],
      shapes: [k.shape, v.shape],
      uniforms,
      heads: forKeys.heads,
      form,
    });
    for (const t of [kept!, forQueries.index, forKeys.index]) if (t !== ids) backend.disposeData(t.dataId);
    return [dq!, dk!, dv!];
  };

export const slotAttentionWebGpu = forwardOf('bytes');
export const slotAttentionGradWebGpu = gradientsOf('bytes');
export const poolAttentionWebGpu = forwardOf('slots');
export const poolAttentionGradWebGpu = gradientsOf('slots');
