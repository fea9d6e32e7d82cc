import * as tf from '@tensorflow/tfjs-core';
import { addRmsNorm, crossEntropy, linear, Rng, setKernelPolicy, swiglu } from '@bytelm/core';
import { emaScan } from '@bytelm/dynamic-chunking';
import { attention } from '@bytelm/latent-transformer';
import { causalConv1d, ssd } from '@bytelm/mamba2';
import type { Measured } from '../messages.js';
import type { Run } from './worker.js';

/** An op at a size that models of this repository have. */
interface Case {
  op: string;
  size: string;
  /** Multiplications and additions. `null`: it only moves data. */
  flops: number | null;
  /** What has to be read and written at least. */
  bytes: number;
  inputs: number[][];
  run(inputs: tf.Tensor[]): tf.Tensor;
}

const L = 512;
const D = 256;
const [H, P, N] = [8, 64, 64];
const VOCAB = 1024;
const floats = (...counts: number[]): number => 4 * counts.reduce((a, b) => a + b, 0);

const CASES: Case[] = [
  { op: 'linear', size: `${L} × ${D} → ${4 * D}`, flops: 2 * L * D * 4 * D, bytes: floats(L * D, 4 * D * D, L * 4 * D), inputs: [[L, D], [4 * D, D]], run: ([x, w]) => linear(x!, w as tf.Tensor2D) },
  { op: 'linear, one row', size: `1 × ${D} → ${4 * D}`, flops: 2 * D * 4 * D, bytes: floats(4 * D * D), inputs: [[1, D], [4 * D, D]], run: ([x, w]) => linear(x!, w as tf.Tensor2D) },
  { op: 'attention, causal', size: `${L} positions, 4 heads of 64`, flops: 2 * 4 * 64 * L * L, bytes: floats(4 * L * D), inputs: [[1, L, 4, 64], [1, L, 4, 64], [1, L, 4, 64]], run: ([q, k, v]) => attention(q as tf.Tensor4D, { k: k as tf.Tensor4D, v: v as tf.Tensor4D, mask: { causal: true } }).y },
  { op: 'SSD scan (Mamba-2)', size: `${L} positions, ${H} heads of ${P}, state ${N}`, flops: 6 * L * H * P * N, bytes: floats(2 * L * H * P, 2 * L * N), inputs: [[1, L, H, P], [1, L, H], [H], [1, L, 1, N], [1, L, 1, N]], run: ([x, dt, A, B, C]) => ssd(x!, { dt: tf.softplus(dt!), A: tf.neg(tf.exp(A!)) as tf.Tensor1D, B: B!, C: C! }).y },
  { op: 'causal convolution + SiLU', size: `${L} × ${2 * D}, width 4`, flops: 8 * L * 2 * D, bytes: floats(2 * L * 2 * D), inputs: [[1, L, 2 * D], [2 * D, 4]], run: ([x, w]) => causalConv1d(x!, { weight: w!, activation: 'silu', returnLastState: false }).y },
  { op: 'EMA smoothing', size: `${L} × ${D}`, flops: 3 * L * D, bytes: floats(2 * L * D), inputs: [[1, L, D], [1, L]], run: ([x, p]) => emaScan(x as tf.Tensor3D, tf.sigmoid(p!) as tf.Tensor2D) },
  { op: 'RMS norm + residual', size: `${L} × ${D}`, flops: null, bytes: floats(4 * L * D), inputs: [[L, D], [L, D], [D]], run: ([x, r, w]) => addRmsNorm(x!, r!, w!).normed },
  { op: 'SwiGLU', size: `${L} × ${4 * D}`, flops: null, bytes: floats(3 * L * 4 * D), inputs: [[L, 4 * D], [L, 4 * D]], run: ([g, u]) => swiglu(g!, u!) },
  { op: 'cross-entropy', size: `${L} × ${VOCAB}`, flops: null, bytes: floats(L * VOCAB), inputs: [[L, VOCAB]], run: ([logits]) => crossEntropy(logits as tf.Tensor2D, tf.zeros([L], 'int32')) },
];

/** Each kernel of ours against the same op composed of tfjs' stock ones, on this device. */
export const measure: Run<'measure'> = async function* (_input, signal) {
  const rng = new Rng(0);
  for (const { op, size, flops, bytes, inputs, run } of CASES) {
    if (signal.aborted) return;
    const given = inputs.map((shape) => tf.tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.nextNormal()), shape));
    const ownMs = await timed(() => run(given));
    setKernelPolicy('portable');
    const stockMs = await timed(() => run(given)).finally(() => setKernelPolicy('auto'));
    tf.dispose(given);
    const event: Measured = { op, size, ownMs, stockMs, gflops: flops === null ? null : flops / ownMs / 1e6, gbps: bytes / ownMs / 1e6 };
    yield event;
  }
};

const LEAST_MS = 120;

/** Milliseconds of one run: many in a row behind a first one that compiles, and one read at the end that waits for all. */
async function timed(run: () => tf.Tensor): Promise<number> {
  const several = async (count: number) => {
    const began = performance.now();
    for (let i = 0; i < count - 1; i++) tf.tidy(() => void run());
    const last = tf.tidy(() => tf.sum(run()));
    await last.data();
    last.dispose();
    return (performance.now() - began) / count;
  };
  await several(1);
  const once = await several(2);
  // Long enough, on an emulated GPU say, says enough.
  return once >= LEAST_MS ? once : several(Math.max(2, Math.min(200, Math.ceil(LEAST_MS / once))));
}
