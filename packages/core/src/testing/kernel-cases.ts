import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from './backends.js';
import { expectClose, expectNoLeak } from './expect.js';
import type { HostTensor } from './fixtures.js';
import { expectKernel } from './webgpu.js';

/** One call of an op, with its inputs on the host. */
export interface KernelCase {
  op: (inputs: never, attrs: never) => tf.Tensor[];
  inputs: { readonly [name: string]: HostTensor | undefined };
  attrs: object;
}

/** Outputs of one case. */
type KernelReference = readonly HostTensor[];

/** Cases of WGSL kernels for a test runner: `prepare` before all, then `check` for each of the names. */
export interface KernelSuite {
  readonly names: readonly string[];
  /** Runs every case on `cpu` and makes `webgpu` the active backend. */
  readonly prepare: () => Promise<void>;
  /** Fails where the case's kernels do. */
  readonly check: (name: string) => Promise<void>;
}

/**
 * Every case runs by kernels alone, one of whose keys matches, agrees with the `cpu` backend, leaks nothing, and repeats to the last bit.
 * @example
 * const { names, prepare, check } = kernelSuite(cases, /ssd/);
 * beforeAll(prepare);
 * it.each(names)('%s', check);
 */
export function kernelSuite(cases: { readonly [name: string]: KernelCase }, key: RegExp): KernelSuite {
  let references: { [name: string]: KernelReference } = {};
  return {
    names: Object.keys(cases),
    prepare: async () => {
      references = await cpuReferences(cases);
    },
    check: (name) => expectKernelCase(cases[name]!, references[name]!, key),
  };
}

const tensorsOf = ({ inputs }: KernelCase): { [name: string]: tf.Tensor } =>
  Object.fromEntries(Object.entries(inputs).flatMap(([name, t]) => (t ? [[name, tf.tensor(t.values, t.shape, t.dtype)]] : [])));

const run = ({ op, attrs }: KernelCase, inputs: { [name: string]: tf.Tensor }): tf.Tensor[] => op(inputs as never, attrs as never);

/** What the `cpu` backend gives: plain loops, where an op has them, else the portable form. Ends with `webgpu` as the active backend. */
async function cpuReferences(cases: { readonly [name: string]: KernelCase }): Promise<{ [name: string]: KernelReference }> {
  await useBackend('cpu');
  const out: { [name: string]: KernelReference } = {};
  for (const [name, one] of Object.entries(cases)) {
    const inputs = tensorsOf(one);
    const outputs = run(one, inputs);
    const host = (t: tf.Tensor) => ({ shape: t.shape, dtype: t.dtype as HostTensor['dtype'], values: t.dataSync().slice() as Float32Array });
    out[name] = outputs.map(host);
    tf.dispose([outputs, Object.values(inputs)]);
  }
  await useBackend('webgpu');
  return out;
}

/** Bound of errors relative to each output's largest value. */
const RELATIVE = 2e-5;

async function expectKernelCase(one: KernelCase, reference: KernelReference, key: RegExp): Promise<void> {
  await expectNoLeak(async () => {
    const inputs = tensorsOf(one);
    let outputs: tf.Tensor[] = [];
    expectKernel(() => (outputs = run(one, inputs).map((t) => tf.keep(t))), key);
    const again = run(one, inputs);
    if (outputs.length !== reference.length) throw new Error(`${outputs.length} outputs, expected ${reference.length}`);
    for (const [i, { shape, values }] of reference.entries()) {
      if (outputs[i]!.shape.join() !== shape.join()) throw new Error(`output ${i}: shape (${outputs[i]!.shape.join(', ')}), expected (${shape.join(', ')})`);
      const scale = Array.from(values).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      await expectClose(outputs[i]!, values, { atol: 1e-6 + RELATIVE * scale, rtol: RELATIVE, name: `output ${i}` });
      await expectClose(again[i]!, outputs[i]!, { atol: 0, rtol: 0, name: `output ${i} the second time` });
    }
    tf.dispose([outputs, again, Object.values(inputs)]);
  });
}

/** Pseudo-random numbers in [low, high) on the host; the same for the same shape and range. */
export function hostFloats(shape: readonly number[], low = -1, high = 1): HostTensor {
  let seed = shape.reduce((a, b) => Math.imul(a, 31) + b, 7 + Math.round(100 * (high - low)));
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return low + ((high - low) * seed) / 2 ** 32;
  });
  return { shape: [...shape], dtype: 'float32', values };
}

/** int32 values f(i), i counting through all of them. */
export function hostIntegers(shape: readonly number[], f: (i: number) => number): HostTensor {
  return { shape: [...shape], dtype: 'int32', values: Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => f(i)) };
}
