import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import { isSoftwareDevice } from '@bytelm/core/webgpu';
import type { AttentionAttrs, AttentionInput } from './mask.js';
import { keyGradCode, queryGradCode, STATS_CODE } from './webgpu-backward.js';
import { forwardCode } from './webgpu-forward.js';
import { MASK_TENSORS, maskCode, maskSize, uniformsOf } from './webgpu-mask.js';
import { nameOf, type AttentionText, type AttentionTile } from './webgpu-shape.js';
import { BYTES, ruleOf, tunedTile, type AttentionSizes, type Pass } from './webgpu-tiles.js';

type GradInput = AttentionInput | 'dy' | 'lse' | 'delta';
type Inputs = { [K in GradInput]?: TensorInfo };

/** What a device lets kernels be like. */
export interface AttentionDevice {
  memory: number;
  mostWorkgroups: number;
  isSoftware: boolean;
  /** In place of those that are best by rule. */
  tile?: (pass: Pass, sizes: AttentionSizes) => AttentionTile | undefined;
}

function deviceOf(backend: KernelBackend): AttentionDevice {
  const { limits } = (backend as unknown as { device: GPUDevice }).device;
  return { memory: limits.maxComputeWorkgroupStorageSize, mostWorkgroups: limits.maxComputeWorkgroupsPerDimension, isSoftware: isSoftwareDevice(backend), tile: (pass, sizes) => tunedTile(backend, pass, sizes) };
}

interface Sizes extends AttentionSizes {
  kvHeads: number;
}

function sizesOf(inputs: Inputs): Sizes {
  const { q, k, v } = inputs;
  const [batch, queries, heads, dim] = q!.shape as [number, number, number, number];
  return { batch, queries, keys: k!.shape[1]!, heads, kvHeads: k!.shape[2]!, dim, valueDim: v!.shape[3]!, isMasked: MASK_TENSORS.some((name) => inputs[name]) };
}

/** Kernel text and sizes of a call; `undefined`: not for this kernel. */
function plan(inputs: Inputs, device: AttentionDevice, pass: Pass): { text: AttentionText; sizes: Sizes } | undefined {
  const sizes = sizesOf(inputs);
  const { batch, queries, keys, heads, dim, valueDim, isMasked } = sizes;
  const most = device.mostWorkgroups;
  if (batch * queries * keys * heads === 0 || batch > most || heads > most || Math.max(queries, keys) > 8 * most) return undefined;
  const shape = { dim, valueDim, isMasked, isRolled: device.isSoftware };
  const tile = device.tile?.(pass, sizes);
  const text = tile && BYTES[pass]({ ...shape, ...tile }) <= device.memory ? { ...shape, ...tile } : ruleOf(pass, shape, device);
  return text && { text, sizes };
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
    const planned = plan(inputs, device(backend), 'forward');
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
    const byQuery = plan(inputs, device(backend), 'queries');
    const byKey = plan(inputs, device(backend), 'keys');
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

/** With a tile that is given, for the tuner. */
export const deviceWith = (backend: KernelBackend, tile: NonNullable<AttentionDevice['tile']>): AttentionDevice => ({ ...deviceOf(backend), tile });

export const attentionWebGpu = attentionWith(deviceOf);
export const attentionGradWebGpu = attentionGradWith(deviceOf);
