import * as tf from '@tensorflow/tfjs-core';
import type { BackendName } from '../op/define-op.js';

/** Minimal start used until the full one (reasons, devices, fall-backs) replaces it. */
export async function initBackend(name: BackendName): Promise<{ name: BackendName }> {
  if (name === 'cpu') await import('@tensorflow/tfjs-backend-cpu');
  else if (name === 'wasm') {
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    const { createRequire } = await import('node:module');
    const { dirname } = await import('node:path');
    const here = createRequire(import.meta.url);
    wasm.setWasmPaths(`${dirname(here.resolve('@tensorflow/tfjs-backend-wasm'))}/`);
  } else if (name === 'tensorflow') await import('@tensorflow/tfjs-node');
  else throw new Error('webgpu: not yet');
  await tf.setBackend(name);
  await tf.ready();
  return { name };
}
