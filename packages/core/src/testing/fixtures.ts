import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { parseSafetensorsHeader } from '../io/safetensors-header.js';

/** The repository's `fixtures/` (or BYTELM_FIXTURES). */
export function fixtureRoot(): string {
  if (process.env.BYTELM_FIXTURES) return resolve(process.env.BYTELM_FIXTURES);
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'pnpm-workspace.yaml'))) dir = dirname(dir);
  return join(dir, 'fixtures');
}

/** Values of a golden file on the host. */
export interface HostTensor {
  shape: number[];
  dtype: 'float32' | 'int32';
  values: Float32Array | Int32Array;
}

/** A whole safetensors file of float32 and int32 tensors, on the host. */
export function readGolden(path: string): Map<string, HostTensor> {
  const bytes = readFileSync(path);
  const { entries } = parseSafetensorsHeader(bytes, bytes.length, path);
  const out = new Map<string, HostTensor>();
  for (const [name, e] of entries) {
    const raw = bytes.buffer.slice(bytes.byteOffset + e.start, bytes.byteOffset + e.end);
    if (e.dtype === 'F32') out.set(name, { shape: e.shape, dtype: 'float32', values: new Float32Array(raw) });
    else if (e.dtype === 'I32') out.set(name, { shape: e.shape, dtype: 'int32', values: new Int32Array(raw) });
    else if (e.dtype === 'I64') out.set(name, { shape: e.shape, dtype: 'int32', values: Int32Array.from(new BigInt64Array(raw), Number) });
    else throw new Error(`${path}: golden tensor ${name} has dtype ${e.dtype}`);
  }
  return out;
}

export const toTensor = (h: HostTensor): tf.Tensor => tf.tensor(h.values, h.shape, h.dtype);

/** One op case of `fixtures/kernels` or `fixtures/hnet`: NAME.safetensors + NAME.json. */
export function loadCase(area: string, name: string, root = fixtureRoot()) {
  const json = JSON.parse(readFileSync(join(root, area, `${name}.json`), 'utf8')) as {
    op: string;
    attrs: Record<string, any>;
    tol: Record<string, number>;
  } & Record<string, any>;
  return { ...json, tensors: readGolden(join(root, area, `${name}.safetensors`)) };
}
