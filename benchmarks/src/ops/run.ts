import * as tf from '@tensorflow/tfjs-core';
import '@bytelm/core/gradients';
import { setKernelPolicy, type KernelPolicy } from '@bytelm/core';
import { median, percentile } from '../stats.js';
import type { OpsJob } from '../worker.js';
import { OP_CASES, type OpCase } from './cases.js';
import type { OpRow, Timing } from './table.js';

/** Portable and kernel form may differ by this share of the result's size. */
const AGREEMENT = 1e-4;
const LEAST_RUNS = 20;

/** Times every case forward and backward, kernels against the portable form of the same op; numbers are compared first. */
export async function benchOps({ seconds, only }: OpsJob): Promise<OpRow[]> {
  const rows: OpRow[] = [];
  for (const c of OP_CASES) {
    if (only && !c.name.includes(only)) continue;
    for (const pass of c.forwardOnly ? (['forward'] as const) : (['forward', 'backward'] as const)) rows.push(await benchCase(c, pass, seconds / 4));
  }
  return rows;
}

async function benchCase(c: OpCase, pass: OpRow['pass'], seconds: number): Promise<OpRow> {
  const { inputs, run, stock } = c.make();
  const onceOf = (f: typeof run) => (pass === 'forward' ? () => [tf.tidy(() => f(...inputs))] : gradientsOf(f, inputs));
  const once = onceOf(run);
  // A backward pass costs two products for each of the forward pass, which it runs, too.
  const cost = pass === 'forward' ? 1 : 3;
  const row: OpRow = { op: c.name, pass, flops: cost * c.flops, bytes: cost * c.bytes };
  try {
    const difference = await disagreement(once);
    if (!(difference <= AGREEMENT)) row.problem = `kernel and portable form differ by ${difference.toExponential(1)}`;
    row.fast = await timed('auto', once, seconds);
    row.portable = await timed('portable', once, seconds);
    if (stock) row.stock = await timed('auto', onceOf(stock), seconds).catch((e: Error) => e.message.split('\n')[0]!);
  } catch (e) {
    row.problem = (e as Error).message.split('\n')[0]!;
  } finally {
    setKernelPolicy('auto');
    tf.disposeVariables();
    tf.dispose(inputs);
  }
  return row;
}

function gradientsOf(run: (...xs: tf.Tensor[]) => tf.Tensor, inputs: tf.Tensor[]): () => tf.Tensor[] {
  const f = tf.grads((...xs: tf.Tensor[]) => tf.sum(run(...xs)));
  return () => f(inputs);
}

/** rms of the difference over rms of the portable result, worst output. */
async function disagreement(once: () => tf.Tensor[]): Promise<number> {
  const results: ArrayLike<number>[][] = [];
  for (const policy of ['auto', 'portable'] as const) {
    setKernelPolicy(policy);
    const out = once();
    results.push(await Promise.all(out.map((t) => t.data())));
    tf.dispose(out);
  }
  const [fast, portable] = results as [ArrayLike<number>[], ArrayLike<number>[]];
  let worst = 0;
  fast.forEach((a, k) => {
    let [difference, size] = [0, 0];
    for (let i = 0; i < a.length; i++) {
      difference += (a[i]! - portable[k]![i]!) ** 2;
      size += portable[k]![i]! ** 2;
    }
    const d = Math.sqrt(difference / Math.max(size, 1e-30));
    if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
  });
  return worst;
}

async function timed(policy: KernelPolicy, once: () => tf.Tensor[], seconds: number): Promise<Timing> {
  setKernelPolicy(policy);
  const ms: number[] = [];
  const step = async () => {
    const start = performance.now();
    const out = once();
    // One element read back waits for all that was queued.
    const one = tf.slice(tf.reshape(out.at(-1)!, [-1]), [0], [1]);
    await one.data();
    tf.dispose([...out, one]);
    ms.push(performance.now() - start);
  };
  for (let i = 0; i < 3; i++) await step();
  ms.length = 0;
  for (const end = performance.now() + 1000 * seconds; performance.now() < end || ms.length < LEAST_RUNS; ) await step();
  return { ms: median(ms), msP10: percentile(ms, 0.1), msP90: percentile(ms, 0.9), runs: ms.length };
}
