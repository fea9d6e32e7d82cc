import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import { sizeBucket, tunedChoice } from '@bytelm/core/webgpu';
import { formName } from '../attention/webgpu-text.js';
import { canHave, VARIANTS } from '../attention/webgpu-tiles.js';
import type { DecodeAttrs, DecodeInput } from './op.js';
import { decodeCode, decodeLayout, mergeCode, ROW_WORDS, THREADS, type DecodeForm, type DecodeText } from './webgpu-text.js';

/** Workgroups that keep a large GPU busy; keys are shared out until there are so many. */
const ENOUGH_WORKGROUPS = 256;
const MAX_SHARES = 32;
const MOST_WORKGROUPS = 65535;

/** How a cache is read. */
export interface DecodePlan extends DecodeForm {
  /** Keys of a workgroup at least: a share of fewer is not worth the merging. */
  share: number;
}

/** Sizes that a tuner may try; the first is the one by rule. */
export const DECODE_BASES: readonly DecodePlan[] = [{ share: 256 }, { share: 64 }, { share: 128 }, { share: 512 }, { share: 256, block: 16 }, { share: 64, block: 16 }];
/** Measured choices are numbers in this list: those, and each again in the forms that features of the device allow. */
export const DECODE_CANDIDATES: readonly DecodePlan[] = VARIANTS.flatMap((form) => DECODE_BASES.map((plan) => ({ ...plan, ...form })));

/** What choices are noted for; `heads` are those of the queries. */
export const decodeKey = ({ rows, reach, heads, kvHeads, dim, valueDim }: { rows: number; reach: number; heads: number; kvHeads: number; dim: number; valueDim: number }): string =>
  `attention decode ${dim}, ${valueDim} ${[rows, reach, kvHeads, heads / kvHeads].map(sizeBucket).join()}`;

function tunedPlan(backend: KernelBackend, key: string): DecodePlan {
  const number = tunedChoice(backend, key);
  const plan = number === undefined ? undefined : DECODE_CANDIDATES[number];
  return plan && canHave(backend, plan) ? plan : DECODE_BASES[0]!;
}

export interface DecodeTensors {
  /** (R, H, D), or rows that hold more behind the H heads. */
  q: TensorInfo;
  /** (B, C, Hkv, D) and (B, C, Hkv, Dv). */
  k: TensorInfo;
  v: TensorInfo;
  /** (R, ROW_WORDS) int32. */
  rows: TensorInfo;
}

/** Whether the kernel can take so many rows with heads of these widths. */
export const canDecode = (dim: number, valueDim: number, heads: number, kvHeads: number, rows: number): boolean =>
  rows > 0 && rows <= MOST_WORKGROUPS && decodeLayout(dim, valueDim, heads / kvHeads) !== undefined;

export interface DecodeSizes {
  heads: number;
  scale: number;
  /** No row sees more slots than this. */
  reach: number;
  /** Heads that a row of `q` holds in all. Default `heads`. */
  stride?: number;
  /** In place of what was measured, or goes by rule. */
  plan?: DecodePlan;
}

/** One query a row against its slots of a cache, (R, H, Dv): one dispatch, or two where there are enough keys to share out. */
export function decodeOnWebGpu(backend: KernelBackend, { q, k, v, rows }: DecodeTensors, { heads, scale, reach, stride = heads, plan }: DecodeSizes): TensorInfo {
  const R = rows.shape[0]!;
  const dim = k.shape[3]!;
  const [, capacity, kvHeads, valueDim] = v.shape as [number, number, number, number];
  const { share: least, ...form } = plan ?? tunedPlan(backend, decodeKey({ rows: R, reach, heads, kvHeads, dim, valueDim }));
  const layout = decodeLayout(dim, valueDim, heads / kvHeads, form)!;
  const { group, block, subgroups, half } = layout;
  const chunks = Math.ceil(heads / kvHeads / group);
  const wanted = Math.min(MAX_SHARES, Math.ceil(reach / least), Math.ceil(ENOUGH_WORKGROUPS / (R * kvHeads * chunks)));
  const share = Math.ceil(reach / Math.max(1, wanted) / block) * block;
  const shares = Math.max(1, Math.ceil(reach / Math.max(1, share)));
  const text: DecodeText = { ...layout, isWhole: shares === 1 };
  const uniforms = Uint32Array.of(heads, kvHeads, capacity, share, shares, 0, stride, dim, valueDim, block, 0, 0);
  new Float32Array(uniforms.buffer)[5] = scale;
  const vectors = Math.ceil(valueDim / 4);
  const made = dispatchWebGpu(backend, {
    key: `decode attention ${[text.shares, text.isAligned, group, block, text.isWhole].join(', ')}${formName({ subgroups, half })}`,
    code: () => decodeCode(text),
    inputs: [q, k, v, rows],
    outputs: text.isWhole ? [{ shape: [R, heads, valueDim] }] : [{ shape: [R, heads, shares, 4 * vectors] }, { shape: [R, heads, shares, 2] }],
    uniforms,
    workgroups: [shares, kvHeads * chunks, R],
  });
  if (text.isWhole) return made[0]!;
  const [y] = dispatchWebGpu(backend, {
    key: `decode attention merged, ${layout.isAligned[1]}`,
    code: () => mergeCode(layout.isAligned[1]),
    inputs: made,
    outputs: [{ shape: [R, heads, valueDim] }],
    uniforms: Uint32Array.of(R * heads * vectors, shares, valueDim, 0),
    workgroups: workgroupGrid(backend, Math.ceil((R * heads * vectors) / THREADS)),
  });
  for (const t of made) backend.disposeData(t.dataId);
  return y!;
}

/** Lists of one entry a row. */
export interface RowLists {
  cacheRows: ArrayLike<number>;
  positions?: ArrayLike<number> | undefined;
  slots?: ArrayLike<number> | undefined;
  starts?: ArrayLike<number> | undefined;
  counts: ArrayLike<number>;
}

/** The lists as the tensor `rows` of decoding kernels, (R, ROW_WORDS) int32; to be disposed. */
export function rowsOnWebGpu(backend: KernelBackend, { cacheRows, positions, slots, starts, counts }: RowLists): TensorInfo {
  const R = counts.length;
  const words = new Int32Array(ROW_WORDS * R);
  for (let i = 0; i < R; i++) words.set([cacheRows[i]!, positions?.[i] ?? 0, slots?.[i] ?? 0, starts?.[i] ?? 0, counts[i]!], ROW_WORDS * i);
  return { dataId: backend.write(words, [R, ROW_WORDS], 'int32'), shape: [R, ROW_WORDS], dtype: 'int32' };
}

export const decodeAttentionWebGpu: FastKernel<DecodeInput, DecodeAttrs> = ({ inputs: { q, k, v }, attrs: { scale, rows, starts, counts }, backend }) => {
  const [R, heads, dim] = q!.shape as [number, number, number];
  if (k!.shape[1] === 0 || !canDecode(dim, v!.shape[3]!, heads, k!.shape[2]!, R)) return null;
  const table = rowsOnWebGpu(backend, { cacheRows: rows ?? Array.from({ length: R }, (_, i) => i), starts, counts });
  const y = decodeOnWebGpu(backend, { q: q!, k: k!, v: v!, rows: table }, { heads, scale, reach: Math.max(1, ...counts) });
  backend.disposeData(table.dataId);
  return [y];
};
