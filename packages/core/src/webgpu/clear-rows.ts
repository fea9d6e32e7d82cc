import * as tf from '@tensorflow/tfjs-core';
import { runEach } from './kernel.js';
import { u32 } from './uniforms.js';

/**
 * Sets rows of states to zero in place, in one dispatch: what `startDocument` does, decided on the device.
 *
 * @param states float32 tensors with the batch on axis 0, at most six. @param fresh (B) int32, 1 at the rows to clear.
 */
export function clearRows(states: readonly tf.Tensor[], fresh: tf.Tensor1D): void {
  runEach(tf.backend(), Math.max(...states.map((s) => s.size)), {
    key: `clear rows of ${states.length}`,
    reads: [{ name: 'fresh', type: 'u32', tensor: fresh }],
    writes: states.map((s, i) => ({ name: `state${i}`, type: 'f32', out: s })),
    uniforms: Object.fromEntries(states.flatMap((s, i) => [[`size${i}`, u32(s.size)], [`width${i}`, u32(Math.max(1, s.size / s.shape[0]!))]])),
    body: () => states.map((_, i) => `  if (i < u.size${i} && fresh[min(i, u.size${i} - 1u) / u.width${i}] != 0u) { state${i}[i] = 0.0; }`).join('\n'),
  });
}
