import * as tf from '@tensorflow/tfjs-core';
import { expectClose, loadCase, toTensor } from '../testing/index.js';

export type Tensors = Record<string, tf.Tensor>;

/**
 * Runs one golden case of fixtures/kernels: outputs and the gradients of `sum(out * cot)`, each within the case's own tolerance.
 * @param run gets the inputs by name and the case's attributes, returns the outputs under the fixture's names.
 */
export async function checkCase(name: string, run: (inputs: Tensors, attrs: Record<string, any>) => Tensors): Promise<void> {
  const { tensors, attrs, tol } = loadCase('kernels', name);
  const group = (prefix: string): Tensors =>
    Object.fromEntries([...tensors].filter(([k]) => k.startsWith(prefix)).map(([k, v]) => [k.slice(prefix.length), toTensor(v)]));
  const [inputs, expected, cotangents, gradients] = ['in.', 'out.', 'cot.', 'grad.'].map(group);
  const outputs = tf.tidy(() => run(inputs, attrs));
  for (const [k, v] of Object.entries(expected)) await expectClose(outputs[k], v, { atol: tol[`out.${k}`], rtol: 0, name: `${name} out.${k}` });
  const names = Object.keys(gradients);
  const loss = (...xs: tf.Tensor[]) => {
    const result = run({ ...inputs, ...Object.fromEntries(names.map((n, i) => [n, xs[i]])) }, attrs);
    return tf.addN(Object.entries(cotangents).map(([k, c]) => tf.sum(tf.mul(result[k], c)))) as tf.Scalar;
  };
  const actual = tf.grads(loss)(names.map((n) => inputs[n]));
  for (const [i, n] of names.entries()) await expectClose(actual[i], gradients[n], { atol: tol[`grad.${n}`], rtol: 0, name: `${name} grad.${n}` });
  tf.dispose([inputs, outputs, expected, cotangents, gradients, actual]);
}
