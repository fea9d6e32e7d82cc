import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import { isSoftwareDevice } from '@bytelm/core/webgpu';
import type { AttentionAttrs, AttentionInput } from './mask.js';
import { keyGradBytes, keyGradCode, queryGradBytes, queryGradCode, STATS_CODE } from './webgpu-backward.js';
import { forwardBytes, forwardCode } from './webgpu-forward.js';
import { MASK_TENSORS, maskCode, maskSize, uniformsOf } from './webgpu-mask.js';
import { nameOf, type AttentionText } from './webgpu-shape.js';

type GradInput = AttentionInput | 'dy' | 'lse' | 'delta';
type Inputs = { [K in GradInput]?: TensorInfo };

/** Tiles (rows, columns), the best first. */
export const FORWARD_TILES = [[32, 32], [32, 16], [16, 16], [16, 8], [8, 8]] as const;
export const BACKWARD_TILES = [[16, 16], [16, 8], [8, 8]] as const;
/** Of the forward pass where a processor plays the GPU: the smallest text, as compiling takes longest there. */
const SOFTWARE_TILES = [[8, 8]] as const;
type Tiles = readonly (readonly [number, number])[];
/** What every device has; beyond, fewer workgroups share a core. */
const SMALL_MEMORY = 16384;
/** Pairs of a tile from which on there is enough arithmetic between two barriers. */
const GOOD_TILE = 256;

/** The first tile of good size in the memory that every device has, otherwise the first one that fits at all. */
export function chooseTile(text: Omit<AttentionText, 'rows' | 'columns'>, tiles: Tiles, bytes: (a: AttentionText) => number, memory: number): AttentionText | undefined {
  const all = tiles.map(([rows, columns]) => ({ ...text, rows, columns }));
  return all.find((a) => bytes(a) <= Math.min(SMALL_MEMORY, memory) && a.rows * a.columns >= GOOD_TILE) ?? all.find((a) => bytes(a) <= memory);
}

/** What a device lets kernels be like. */
export interface AttentionDevice {
  memory: number;
  mostWorkgroups: number;
  isSoftware: boolean;
  /** In place of those that are best. */
  tiles?: Tiles;
}

function deviceOf(backend: KernelBackend): AttentionDevice {
  const { limits } = (backend as unknown as { device: GPUDevice }).device;
  return { memory: limits.maxComputeWorkgroupStorageSize, mostWorkgroups: limits.maxComputeWorkgroupsPerDimension, isSoftware: isSoftwareDevice(backend) };
}

interface Sizes {
  batch: number;
  queries: number;
  keys: number;
  heads: number;
  kvHeads: number;
}

function sizesOf({ q, k }: Inputs): Sizes {
  const [batch, queries, heads] = q!.shape as [number, number, number];
  return { batch, queries, keys: k!.shape[1]!, heads, kvHeads: k!.shape[2]! };
}

/** Kernel text and sizes of a call; `undefined`: not for this kernel. */
function plan(inputs: Inputs, device: AttentionDevice, tiles: Tiles, bytes: (a: AttentionText) => number): { text: AttentionText; sizes: Sizes } | undefined {
  const sizes = sizesOf(inputs);
  const { batch, queries, keys, heads } = sizes;
  const most = device.mostWorkgroups;
  if (batch * queries * keys * heads === 0 || batch > most || heads > most || Math.max(queries, keys) > 8 * most) return undefined;
  const text = { dim: inputs.q!.shape[3]!, valueDim: inputs.v!.shape[3]!, isMasked: MASK_TENSORS.some((name) => inputs[name]), isRolled: device.isSoftware };
  const tile = chooseTile(text, device.tiles ?? tiles, bytes, device.memory);
  return tile && { text: tile, sizes };
}

/** The rules about single positions as one tensor, none without such rules. */
function packMask(backend: KernelBackend, inputs: Inputs, { batch, queries, keys }: Sizes, uniforms: ArrayBuffer): TensorInfo[] {
  const given = MASK_TENSORS.filter((name) => inputs[name]);
  if (!given.length) return [];
  const size = maskSize(batch, queries, keys);
  return dispatchWebGpu(backend, {
    key: `attention mask ${given.join()}`,
    code: () => maskCode(given),
    inputs: given.map((name) => inputs[name]!),
    outputs: [{ shape: [size, 2], dtype: 'int32' }],
    uniforms,
    workgroups: workgroupGrid(backend, Math.ceil(size / 64)),
  });
}

export function attentionWith(device: (backend: KernelBackend) => AttentionDevice): FastKernel<AttentionInput, AttentionAttrs> {
  return ({ inputs, attrs, backend }) => {
    const found = device(backend);
    const planned = plan(inputs, found, found.isSoftware ? SOFTWARE_TILES : FORWARD_TILES, forwardBytes);
    if (!planned) return null;
    const { text, sizes } = planned;
    const { batch, queries, heads } = sizes;
    const uniforms = uniformsOf(inputs, attrs, text.columns);
    const mask = packMask(backend, inputs, sizes, uniforms);
    const made = dispatchWebGpu(backend, {
      key: `attention forward ${nameOf(text)}`,
      code: () => forwardCode(text),
      inputs: [inputs.q!, inputs.k!, inputs.v!, ...mask],
      outputs: [{ shape: [batch, queries, heads, text.valueDim] }, { shape: [batch, heads, queries] }],
      uniforms,
      workgroups: [Math.ceil(queries / text.rows), heads, batch],
    });
    for (const t of mask) backend.disposeData(t.dataId);
    return made;
  };
}

export function attentionGradWith(device: (backend: KernelBackend) => AttentionDevice): FastKernel<GradInput, AttentionAttrs> {
  return ({ inputs, attrs, backend }) => {
    const byQuery = plan(inputs, device(backend), BACKWARD_TILES, queryGradBytes);
    const byKey = plan(inputs, device(backend), BACKWARD_TILES, keyGradBytes);
    if (!byQuery || !byKey) return null;
    const { batch, queries, keys, heads, kvHeads } = byQuery.sizes;
    const { q, k, v, dy, lse, delta } = inputs as Required<Inputs>;
    const mask = packMask(backend, inputs, byQuery.sizes, uniformsOf(inputs, attrs));
    const [stats] = dispatchWebGpu(backend, {
      key: 'attention statistics',
      code: STATS_CODE,
      inputs: [lse, delta],
      outputs: [{ shape: [batch, heads, queries, 2] }],
      uniforms: Uint32Array.of(batch * heads * queries),
      workgroups: workgroupGrid(backend, Math.ceil((batch * heads * queries) / 64)),
    }) as [TensorInfo];
    const read = [q, k, v, dy, stats, ...mask];
    const [dq] = dispatchWebGpu(backend, {
      key: `attention gradient of queries ${nameOf(byQuery.text)}`,
      code: () => queryGradCode(byQuery.text),
      inputs: read,
      outputs: [{ shape: q.shape }],
      uniforms: uniformsOf(inputs, attrs, byQuery.text.columns),
      workgroups: [Math.ceil(queries / byQuery.text.rows), heads, batch],
    });
    const [dk, dv] = dispatchWebGpu(backend, {
      key: `attention gradient of keys ${nameOf(byKey.text)}`,
      code: () => keyGradCode(byKey.text),
      inputs: read,
      outputs: [{ shape: k.shape }, { shape: v.shape }],
      uniforms: uniformsOf(inputs, attrs, byKey.text.columns),
      workgroups: [Math.ceil(keys / byKey.text.rows), kvHeads, batch],
    });
    for (const t of [stats, ...mask]) backend.disposeData(t.dataId);
    return [dq!, dk!, dv!];
  };
}

export const attentionWebGpu = attentionWith(deviceOf);
export const attentionGradWebGpu = attentionGradWith(deviceOf);
