import * as tf from '@tensorflow/tfjs-core';
import {
  addRmsNorm, crossEntropy, embedding, initBackend, linear, linearCrossEntropy, matMul, packedLinear, packWeight, rmsNorm, sampleIds, scan, segmentPool, setKernelPolicy, splitSwiglu,
  type KernelPolicy,
} from '@bytelm/core';

/** One kernel of core on the device: its time, what that makes of the device, and tfjs' stock ops beside it. */
export interface GpuRow {
  name: string;
  ms: number;
  gflops?: number;
  /** Bytes of all operands, once, over the time. */
  gbytes: number;
  /** The same out of tfjs' ops; `undefined` where there is no such form. */
  stockMs?: number;
}

interface GpuCase {
  name: string;
  flops?: number;
  bytes: number;
  run: () => tf.TensorContainer;
}

const random = (...shape: number[]) => tf.randomNormal(shape, 0, 1, 'float32', shape.length);
const bytesOf = (...tensors: tf.Tensor[]) => 4 * tensors.reduce((n, t) => n + t.size, 0);
const ints = (n: number, f: (i: number) => number) => tf.tensor1d(Int32Array.from({ length: n }, (_, i) => f(i)), 'int32');

function product(name: string, m: number, n: number, k: number, transposeA: boolean, transposeB: boolean): GpuCase {
  const [a, b] = [transposeA ? random(k, m) : random(m, k), transposeB ? random(n, k) : random(k, n)];
  return { name, flops: 2 * m * n * k, bytes: bytesOf(a, b) + 4 * m * n, run: () => matMul(a, b, { transposeA, transposeB }) };
}

/** The last pass of `f`'s gradient alone cannot be asked for, so it is forward and backward together. */
const withGradient = (f: (...x: tf.Tensor[]) => tf.Tensor, inputs: tf.Tensor[], dy: tf.Tensor) => () => tf.grads(f)(inputs, dy);

/** @param size 1 for a large device; smaller numbers shrink the cases with it. */
async function casesOf(size: number): Promise<GpuCase[]> {
  const at = (n: number) => Math.max(64, Math.round((n * size) / 64) * 64);
  const [tokens, d, f, v] = [at(4096), at(1024), at(4096), 256];
  const [x, w, scale, up] = [random(tokens, d), random(f, d), random(d), random(tokens, 2 * f)];
  const row = random(1, d);
  const packed = packWeight((await w.data()) as Float32Array, [f, d], 'bf16');
  const int8 = packWeight((await w.data()) as Float32Array, [f, d], 'int8');
  const logits = random(tokens, v);
  const labels = ints(tokens, (i) => (i * 7) % v);
  const table = random(v, d);
  const [b, a] = [tf.reshape(x, [1, tokens, d]), tf.randomUniform([1, tokens], 0.1, 0.9)];
  const segments = tf.reshape(ints(tokens, (i) => Math.floor(i / 5)), [1, tokens]);
  const dx = random(tokens, d);
  const draws = tf.zeros([tokens]) as tf.Tensor;
  return [
    product(`matmul NN ${tokens}`, tokens, f, d, false, false),
    product('matmul NT', tokens, f, d, false, true),
    product('matmul TN (gradient of a weight)', f, d, tokens, true, false),
    { name: 'gemv f32', flops: 2 * d * f, bytes: bytesOf(row, w), run: () => linear(row, w) },
    { name: 'gemv bf16', flops: 2 * d * f, bytes: 2 * d * f, run: () => packedLinear(row, packed) },
    { name: 'gemv int8', flops: 2 * d * f, bytes: d * f, run: () => packedLinear(row, int8) },
    { name: 'linear bf16', flops: 2 * tokens * d * f, bytes: bytesOf(x) + 2 * d * f + 4 * tokens * f, run: () => packedLinear(x, packed) },
    { name: 'rms norm', bytes: 2 * bytesOf(x), run: () => rmsNorm(x, scale) },
    { name: 'sum and rms norm', bytes: 4 * bytesOf(x), run: () => Object.values(addRmsNorm(x, dx, scale)) },
    { name: 'rms norm and gradient', bytes: 6 * bytesOf(x), run: withGradient((y, s) => rmsNorm(y, s!), [x, scale], dx) },
    { name: 'swiglu', bytes: 1.5 * bytesOf(up), run: () => splitSwiglu(up, { order: 'gate-value' }) },
    { name: 'cross-entropy and gradient', bytes: 3 * bytesOf(logits), run: withGradient((y) => crossEntropy(y, labels), [logits], tf.scalar(1)) },
    { name: 'linear cross-entropy and gradients', flops: 8 * tokens * d * v, bytes: 2 * bytesOf(x, table), run: withGradient((h, t) => linearCrossEntropy(h, t!, labels), [x, table], tf.scalar(1)) },
    { name: 'embedding and gradient', bytes: 2 * bytesOf(x), run: withGradient((t) => embedding(t, labels), [table], dx) },
    { name: 'scan', bytes: 2 * bytesOf(b), run: () => scan(b, a).y },
    { name: 'scan and gradients', bytes: 6 * bytesOf(b), run: withGradient((y, s) => scan(y, s!).y, [b, a], tf.reshape(dx, [1, tokens, d])) },
    { name: 'segment max', bytes: 1.2 * bytesOf(b), run: () => segmentPool(b, segments, Math.ceil(tokens / 5), 'max') },
    { name: 'sampling, top-p', bytes: bytesOf(logits), run: () => sampleIds(logits, draws, { topP: 0.9 }) },
  ];
}

const device = () => (tf.backend() as unknown as { device: GPUDevice }).device;

/** Everything queued, and its end. */
async function finished(): Promise<void> {
  const backend = tf.backend() as unknown as { ensureCommandEncoderReady(): void; endComputePassEncoder(): void; submitQueue(): void };
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  await device().queue.onSubmittedWorkDone();
}

/** Median of five rounds, each of so many runs that they take `budget` ms. */
async function timeOf(run: () => tf.TensorContainer, budget: number): Promise<number> {
  const round = async (count: number) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) tf.tidy(() => void run());
    await finished();
    return (performance.now() - start) / count;
  };
  await round(1);
  const count = Math.max(1, Math.min(500, Math.round(budget / (await round(2)))));
  const times: number[] = [];
  for (let i = 0; i < 5; i++) times.push(await round(count));
  return times.sort((a, b) => a - b)[2]!;
}

/** Runs the cases on the active webgpu backend. */
export async function gpuRows({ size, budget, only, say }: { size?: number; budget: number; only?: string | undefined; say: (line: string) => void }): Promise<{ device: string; isSoftware: boolean; rows: GpuRow[] }> {
  const { device: name, isSoftware } = await initBackend('webgpu');
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  const rows: GpuRow[] = [];
  for (const c of await casesOf(size ?? (isSoftware ? 1 / 16 : 1))) {
    if (only && !c.name.includes(only)) continue;
    say(c.name);
    const timed = async (policy: KernelPolicy) => {
      setKernelPolicy(policy);
      try {
        return await timeOf(c.run, budget);
      } finally {
        setKernelPolicy('auto');
      }
    };
    const ms = await timed('auto');
    // tfjs has no products with packed weights.
    const stockMs = /bf16|int8/.test(c.name) ? undefined : await timed('portable');
    rows.push({ name: c.name, ms, ...(c.flops && { gflops: c.flops / ms / 1e6 }), gbytes: c.bytes / ms / 1e6, ...(stockMs && { stockMs }) });
  }
  return { device: name, isSoftware, rows };
}

/** The rows as Markdown. */
export function gpuTable(rows: readonly GpuRow[]): string {
  const cell = (n: number | undefined, digits = 3) => (n === undefined ? '' : n.toPrecision(digits));
  const lines = rows.map((r) => `| ${r.name} | ${cell(r.ms)} | ${cell(r.gflops)} | ${cell(r.gbytes)} | ${cell(r.stockMs)} | ${cell(r.stockMs && r.stockMs / r.ms, 2)} |`);
  return ['| kernel | ms | GFLOP/s | GB/s | stock tfjs, ms | times faster |', '|---|---|---|---|---|---|', ...lines].join('\n');
}
