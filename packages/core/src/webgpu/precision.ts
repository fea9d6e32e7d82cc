import type { KernelBackend } from '@tensorflow/tfjs-core';
import { hasWebGpuFeature } from '../backend/webgpu-dispatch.js';

let isAllowed = false;

/**
 * Allows kernels to keep tiles of their float32 factors as f16 in workgroup memory, where the device has `shader-f16`: half the traffic, and
 * eleven bits of each factor. Sums stay float32. Only tuned choices make use of it (`tuneProducts` and its like measure such tiles then, and
 * note them apart from others). Not allowed at first; values beyond 65,504 become infinite.
 */
export function allowHalfPrecision(allowed: boolean): void {
  isAllowed = allowed;
}

/** Whether kernels may on this device. */
export const mayUseHalf = (backend: KernelBackend): boolean => isAllowed && hasWebGpuFeature(backend, 'shader-f16');
