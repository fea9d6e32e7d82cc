import * as tf from '@tensorflow/tfjs-core';
import { initBackend } from '../backend/init.js';
import { BACKEND_NAMES, type BackendName } from '../op/define-op.js';

/** Backends that suites run on: BYTELM_TEST_BACKENDS (comma separated), default `cpu,wasm`. */
export function backendsForTest(): BackendName[] {
  const names = (process.env.BYTELM_TEST_BACKENDS ?? 'cpu,wasm').split(',').map((s) => s.trim()) as BackendName[];
  for (const n of names) if (!BACKEND_NAMES.includes(n)) throw new Error(`BYTELM_TEST_BACKENDS: unknown backend ${n}`);
  return names;
}

/** Starts a backend for a suite; on webgpu small ops are kept off the cpu, or the shaders would never run. */
export async function useBackend(name: BackendName): Promise<void> {
  if (tf.getBackend() !== name) await initBackend(name);
  if (name === 'webgpu') tf.env().set('WEBGPU_CPU_FORWARD', false);
}
