import * as tf from '@tensorflow/tfjs-core';

type Values = ArrayLike<number>;

/** Largest absolute difference; NaN counts as infinite. */
export function maxError(actual: Values, expected: Values): number {
  if (actual.length !== expected.length) throw new Error(`lengths differ: ${actual.length} against ${expected.length}`);
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const d = Math.abs(actual[i]! - expected[i]!);
    if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
  }
  return worst;
}

/** Throws unless every value of `actual` is within `atol + rtol*|expected|`. */
export async function expectClose(
  actual: tf.Tensor,
  expected: tf.Tensor | Values,
  { atol = 1e-5, rtol = 1e-4, name = 'tensor' }: { atol?: number; rtol?: number; name?: string } = {},
): Promise<void> {
  const a = await actual.data();
  const e = expected instanceof tf.Tensor ? await expected.data() : expected;
  if (expected instanceof tf.Tensor && expected.shape.join() !== actual.shape.join()) {
    throw new Error(`${name}: shape (${actual.shape.join(', ')}), expected (${expected.shape.join(', ')})`);
  }
  if (a.length !== e.length) throw new Error(`${name}: ${a.length} values, expected ${e.length}`);
  for (let i = 0; i < a.length; i++) {
    const bound = atol + rtol * Math.abs(e[i]!);
    if (!(Math.abs(a[i]! - e[i]!) <= bound)) {
      throw new Error(`${name}[${i}]: ${a[i]}, expected ${e[i]} (bound ${bound}; largest error ${maxError(a, e)})`);
    }
  }
}

/** Runs `f` and throws unless the number of live tensors is as before. `f` frees what it gets. */
export async function expectNoLeak(f: () => unknown): Promise<void> {
  const before = tf.memory().numTensors;
  await f();
  const after = tf.memory().numTensors;
  if (after !== before) throw new Error(`${after - before} tensors leaked`);
}

/**
 * Compares the gradient of `sum(f(inputs) * w)` (w fixed pseudo-random) by every input with central differences at up to `samples` entries.
 * @param f differentiable; float32 inputs only.
 */
export async function checkGradients(
  f: (...inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[],
  inputs: tf.Tensor[],
  { eps = 1e-2, tol = 2e-2, samples = 12, names = [] as string[] } = {},
): Promise<void> {
  const outputs = (xs: tf.Tensor[]) => [f(...xs)].flat();
  const loss = (xs: tf.Tensor[]) =>
    outputs(xs)
      .map((y, k) => tf.sum(tf.mul(y, tf.randomUniform(y.shape, -1, 1, 'float32', 7 + k))))
      .reduce((a, b) => tf.add(a, b)) as tf.Scalar;
  const grads = tf.grads((...xs: tf.Tensor[]) => loss(xs))(inputs);
  const lossAt = async (i: number, values: Float32Array): Promise<number> => {
    const x = tf.tensor(values, inputs[i]!.shape);
    const l = tf.tidy(() => loss(inputs.map((y, j) => (j === i ? x : y))));
    const v = (await l.data())[0]!;
    tf.dispose([x, l]);
    return v;
  };
  for (let i = 0; i < inputs.length; i++) {
    const base = Float32Array.from(await inputs[i]!.data());
    const g = Float32Array.from(await grads[i]!.data());
    const scale = Math.max(1e-2, Math.sqrt(g.reduce((s, v) => s + v * v, 0) / g.length));
    for (let k = 0; k < Math.min(samples, base.length); k++) {
      const at = base.length <= samples ? k : Math.floor(((k + 0.5) * base.length) / samples);
      const moved = (d: number) => Float32Array.from(base, (v, j) => (j === at ? v + d : v));
      const numeric = ((await lossAt(i, moved(eps))) - (await lossAt(i, moved(-eps)))) / (2 * eps);
      if (!(Math.abs(numeric - g[at]!) <= tol * (scale + Math.abs(numeric)))) {
        throw new Error(`gradient of ${names[i] ?? `input ${i}`}[${at}]: ${g[at]}, finite difference ${numeric} (scale ${scale})`);
      }
    }
  }
  tf.dispose(grads);
}
