import type { KernelBackend } from '@tensorflow/tfjs-core';
import { asWebGpu } from '../backend/webgpu-backend.js';
import { hasWebGpuFeature } from '../backend/webgpu-dispatch.js';

type AdapterInfo = Partial<Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'device' | 'description'>> & { subgroupMinSize?: number; subgroupMaxSize?: number; subgroupMatrixConfigs?: readonly MatrixConfig[] };

/** A product that the device's matrix units can do: (M, K)·(K, N). */
export interface MatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** What is known of the adapter behind a tfjs backend. */
const infoOf = (backend: KernelBackend): AdapterInfo =>
  (asWebGpu(backend).device as GPUDevice & { adapterInfo?: AdapterInfo }).adapterInfo ?? (backend as unknown as { adapterInfo?: AdapterInfo }).adapterInfo ?? {};

/** Names the kind of device: what was measured on one holds for others of the same name. */
export function adapterName(backend: KernelBackend): string {
  const { vendor = '', architecture = '', device = '', description = '' } = infoOf(backend);
  const features = [...asWebGpu(backend).device.features].filter((f) => f === 'shader-f16' || f === 'subgroups' || (f as string) === 'chromium-experimental-subgroup-matrix').sort();
  return [vendor, architecture, device, description, ...features].join('|');
}

/** Emulated on the CPU: right, but with few workers, for which other shapes are best. */
export const isSoftwareDevice = (backend: KernelBackend): boolean => /llvmpipe|lavapipe|swiftshader|basic render/i.test(adapterName(backend));

/** Threads of a subgroup on this device; `undefined` where the adapter does not say. */
export function subgroupSizes(backend: KernelBackend): { min: number; max: number } | undefined {
  const { subgroupMinSize: min, subgroupMaxSize: max } = infoOf(backend);
  return min && max ? { min, max } : undefined;
}

/** What the device's matrix units can do; empty where they cannot be used. */
export const matrixConfigs = (backend: KernelBackend): readonly MatrixConfig[] => (hasWebGpuFeature(backend, 'chromium-experimental-subgroup-matrix') ? [...(infoOf(backend).subgroupMatrixConfigs ?? [])] : []);
