import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { Binding } from './bindings.js';
import { runEach } from './kernel.js';
import { u32 } from './uniforms.js';

/**
 * Where each key's run begins and ends in a list of n keys that never fall, (keys, 2) int32; keys that do not occur have 0, 0. Positions left
 * out may stand anywhere, also inside a run.
 *
 * @param reads what `keyAt` reads. @param keyAt WGSL expression of the key at position `j`, u32; keys of `keys` and more are left out.
 * @param name names the expression.
 */
export function webGpuRuns(backend: KernelBackend, n: number, keys: number, name: string, reads: readonly Binding[], uniforms: Record<string, ReturnType<typeof u32>>, keyAt: string): TensorInfo {
  const [empty] = runEach(backend, 2 * keys, { key: 'no runs', reads: [], writes: [{ name: 'y', type: 'u32', out: { shape: [keys, 2], dtype: 'int32' } }], uniforms: {}, body: () => '  y[i] = 0u;' }) as [TensorInfo];
  const [runs] = runEach(backend, n, {
    key: `runs of ${name}`,
    reads,
    writes: [{ name: 'runs', type: 'u32', out: empty }],
    uniforms: { keys: u32(keys), ...uniforms },
    functions: () => `fn keyAt(j: u32) -> u32 { return ${keyAt}; }
fn keyBefore(i: u32) -> u32 {
  for (var j = i; j > 0u; j--) { let key = keyAt(j - 1u); if (key < u.keys) { return key; } }
  return u.keys;
}
fn keyAfter(i: u32) -> u32 {
  for (var j = i + 1u; j < u.count; j++) { let key = keyAt(j); if (key < u.keys) { return key; } }
  return u.keys;
}`,
    body: () => `  let own = keyAt(i);
  if (own >= u.keys) { return; }
  if (keyBefore(i) != own) { runs[2u * own] = i; }
  if (keyAfter(i) != own) { runs[2u * own + 1u] = i + 1u; }`,
  }) as [TensorInfo];
  return runs;
}
