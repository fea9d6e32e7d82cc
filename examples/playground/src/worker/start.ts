import { initBackend } from '@bytelm/core';
import type { ShippedName } from '../messages.js';
import { addressOf, shipped } from './files.js';
import type { Run } from './worker.js';

/** Starts the backend: WebGPU where there is a GPU, else WebAssembly. */
export const start: Run<'start'> = async function* ({ backend }) {
  const { name, device, reason, isSoftware } = await initBackend(backend, { wasmPaths: addressOf('wasm/') });
  const files = await shipped();
  const models = (['hnet', 'blt', 'bolmo'] as const).filter((m: ShippedName) => files.includes(`models/${m}/model.safetensors`));
  yield { backend: name, device, reason, isSoftware, models };
};
