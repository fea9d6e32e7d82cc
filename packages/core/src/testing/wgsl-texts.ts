import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { observeDispatches } from '../backend/webgpu-dispatch.js';
import type { FastKernel } from '../op/define-op.js';

/** What WebGPU promises of every device, as far as kernels ask. */
const LIMITS = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupsPerDimension: 65535, maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 };
const WORKGROUP_BYTES = 16384;

/** Answers every call and every member with itself. */
const anything: any = new Proxy(function () {}, {
  get: (_, name) => (name === 'then' ? undefined : name === Symbol.toPrimitive ? () => 0 : anything),
  apply: () => anything,
});
const withRest = <T extends object>(known: T): T => new Proxy(known, { get: (o, name) => (name in o ? o[name as keyof T] : anything) });

/**
 * WGSL of all kernels of a call by key, for snapshots: made without a device, as for a real GPU, and refused where it would be beyond what every
 * device allows.
 */
export function wgslTexts<N extends string, A>(kernel: FastKernel<N, A>, inputs: { [K in N]?: { shape: number[]; dtype?: 'int32' } }, attrs: A): Record<string, string> {
  const globals = globalThis as { GPUShaderStage?: unknown; GPUBufferUsage?: unknown };
  globals.GPUShaderStage ??= anything;
  globals.GPUBufferUsage ??= anything;
  const tensor = (shape: number[], dtype: TensorInfo['dtype'] = 'float32'): TensorInfo => ({ dataId: {}, shape, dtype });
  const device = withRest({ limits: LIMITS, features: new Set(), popErrorScope: () => Promise.resolve(null) });
  const backend = withRest({
    device,
    makeTensorInfo: tensor,
    tensorMap: { get: () => ({ resource: {}, values: null }) },
    refCount: () => 1,
    commandQueueOwnedIds: undefined,
    adapterInfo: {},
  }) as unknown as KernelBackend;
  const texts: Record<string, string> = {};
  const stop = observeDispatches(({ key, code }) => (texts[key] = typeof code === 'string' ? code : code()));
  try {
    const given = Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, tensor((t as { shape: number[] }).shape, (t as { dtype?: 'int32' }).dtype)]));
    kernel({ inputs: given as { [K in N]?: TensorInfo }, attrs, backend });
  } finally {
    stop();
  }
  for (const [key, text] of Object.entries(texts)) {
    const bytes = workgroupBytes(text);
    if (bytes > WORKGROUP_BYTES) throw new Error(`${key}: ${bytes} bytes of workgroup memory, devices promise ${WORKGROUP_BYTES}`);
  }
  return texts;
}

/** Of all `var<workgroup>` arrays of 32-bit scalars and vec4s. */
function workgroupBytes(text: string): number {
  let bytes = 0;
  for (const [, type, count] of text.matchAll(/var<workgroup> \w+: array<(\w+), (\d+)>/g)) bytes += (type!.startsWith('vec4') ? 16 : 4) * Number(count);
  return bytes;
}
