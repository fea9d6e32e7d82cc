import * as tf from '@tensorflow/tfjs-core';
import { initBackend } from '../backend/init.js';
import { setKernelPolicy, type Op, type OpInputs } from '../op/define-op.js';
import { expectClose, expectNoLeak } from './expect.js';

/** Starts `tensorflow` and says whether the native ops are there; where not, one visible line tells why their tests are skipped. */
export async function hasNativeOps(): Promise<boolean> {
  const found = (await initBackend('tensorflow')).features.includes('native-ops');
  if (!found) console.warn('native ops not built (node tools/setup-tensorflow.mjs): their tests are skipped');
  return found;
}

/**
 * Native and portable form of one call agree, and nothing leaks.
 * @param relative Bound relative to each output's largest value. Default 2e-5.
 */
export async function expectNativeAgrees<N extends string, A extends object>(op: Op<N, A>, inputs: OpInputs<N>, attrs: A, relative = 2e-5): Promise<void> {
  await expectNoLeak(async () => {
    const native = op(inputs, attrs);
    setKernelPolicy('portable');
    const portable = op(inputs, attrs);
    setKernelPolicy('auto');
    if (native.length !== portable.length) throw new Error(`${op.spec.name}: ${native.length} native outputs, ${portable.length} portable ones`);
    for (const [i, expected] of portable.entries()) {
      const scale = Array.from(await expected.data()).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      await expectClose(native[i]!, expected, { atol: 1e-6 + relative * scale, rtol: relative, name: `${op.spec.name} output ${i}` });
    }
    tf.dispose([...native, ...portable]);
  });
}

/** Numbers for tests: uniform in [−1, 1), another tensor at each call, the same ones in every run. */
export function randomTensors(seed: number): (...shape: number[]) => tf.Tensor {
  return (...shape) => tf.randomUniform(shape, -1, 1, 'float32', ++seed);
}

/** An int32 tensor of f(i), i counting through all elements. */
export function integerTensor(shape: number[], f: (i: number) => number): tf.Tensor {
  return tf.tensor(Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => f(i)), shape, 'int32');
}
