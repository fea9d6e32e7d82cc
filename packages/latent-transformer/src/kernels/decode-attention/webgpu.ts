import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import type { DecodeAttrs, DecodeInput } from './op.js';
import { decodeCode, decodeLayout, mergeCode, ROW_WORDS, THREADS, type DecodeText } from './webgpu-text.js';

/** Workgroups that keep a large GPU busy; keys are shared out until there are so many. */
const ENOUGH_WORKGROUPS = 256;
/** A share of fewer keys is not worth the merging. */
const MIN_SHARE = 256;
const MAX_SHARES = 32;
const MOST_WORKGROUPS = 65535;

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
}

/** One query a row against its slots of a cache, (R, H, Dv): one dispatch, or two where there are enough keys to share out. */
export function decodeOnWebGpu(backend: KernelBackend, { q, k, v, rows }: DecodeTensors, { heads, scale, reach, stride = heads }: DecodeSizes): TensorInfo {
  const R = rows.shape[0]!;
  const dim = k.shape[3]!;
  const [, capacity, kvHeads, valueDim] = v.shape as [number, number, number, number];
  const layout = decodeLayout(dim, valueDim, heads / kvHeads)!;
  const { group, block } = layout;
  const chunks = Math.ceil(heads / kvHeads / group);
  const wanted = Math.min(MAX_SHARES, Math.ceil(reach / MIN_SHARE), Math.ceil(ENOUGH_WORKGROUPS / (R * kvHeads * chunks)));
  const share = Math.ceil(reach / Math.max(1, wanted) / block) * block;
  const shares = Math.max(1, Math.ceil(reach / Math.max(1, share)));
  const text: DecodeText = { ...layout, isWhole: shares === 1 };
  const uniforms = Uint32Array.of(heads, kvHeads, capacity, share, shares, 0, stride, dim, valueDim, block, 0, 0);
  new Float32Array(uniforms.buffer)[5] = scale;
  const vectors = Math.ceil(valueDim / 4);
  const made = dispatchWebGpu(backend, {
    key: `decode attention ${Object.values(text).join(', ')}`,
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
