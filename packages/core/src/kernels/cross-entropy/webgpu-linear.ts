import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { asWebGpu } from '../../backend/webgpu-backend.js';
import type { FastKernel } from '../../op/define-op.js';
import { dense } from '../../webgpu/matmul/operands.js';
import { webGpuMatMul } from '../../webgpu/matmul/run.js';
import { storeDense } from '../../webgpu/matmul/store.js';
import type { CrossEntropyAttrs } from './labels.js';
import { logitGradient, overRows, rowLosses } from './webgpu.js';

type Input = 'hidden' | 'weight' | 'labels';

/** Logits that are alive at one time: 16 MiB of float32. */
const CHUNK_VALUES = 1 << 22;

/** Runs `f` on blocks of rows and their logits, which are freed behind it. */
function eachChunk(backend: KernelBackend, hidden: TensorInfo, weight: TensorInfo, f: (logits: TensorInfo, start: number, rows: number) => void): void {
  const [total, k] = hidden.shape as [number, number];
  const n = weight.shape[0]!;
  const step = Math.max(64, Math.floor(CHUNK_VALUES / n));
  for (let start = 0; start < total; start += step) {
    const m = Math.min(step, total - start);
    const [logits] = webGpuMatMul(backend, {
      key: 'logits',
      m,
      n,
      k,
      a: dense('a', hidden, { sizes: { outer: m, k }, outer: k, k: 1, offset: start * k }),
      b: dense('b', weight, { sizes: { outer: n, k }, outer: k, k: 1 }),
      epilogue: storeDense({ out: { shape: [m, n] }, m, n }),
    }) as [TensorInfo];
    f(logits, start, m);
    backend.disposeData(logits.dataId);
  }
}

export const webGpuLinearCrossEntropy: FastKernel<Input, CrossEntropyAttrs> = ({ inputs: { hidden, weight, labels }, attrs, backend }) => {
  const [rows, k] = hidden!.shape as [number, number];
  if (rows * k * weight!.shape[0]! === 0) return null;
  let losses: TensorInfo | { shape: number[] } = { shape: [rows] };
  eachChunk(backend, hidden!, weight!, (logits, start) => (losses = rowLosses(backend, logits, labels!, losses, start, attrs)));
  const all = losses as TensorInfo;
  if (!attrs.isMean) return [all];
  const mean = overRows(backend, labels!, all, attrs);
  backend.disposeData(all.dataId);
  return [mean];
};

/** dhidden, dweight: the logits of a block are computed again and turned into their gradient in place. */
export const webGpuLinearCrossEntropyGrad: FastKernel<Input | 'dloss', CrossEntropyAttrs> = ({ inputs: { hidden, weight, labels, dloss }, attrs, backend }) => {
  const [rows, width] = hidden!.shape as [number, number];
  const classes = weight!.shape[0]!;
  if (rows * width * classes === 0) return null;
  const count = attrs.isMean ? overRows(backend, labels!, undefined, attrs) : undefined;
  const [dh, dw] = [hidden!, weight!].map((t) => asWebGpu(backend).makeTensorInfo([...t.shape], 'float32')) as [TensorInfo, TensorInfo];
  eachChunk(backend, hidden!, weight!, (logits, start, m) => {
    const d = logitGradient(backend, logits, logits, labels!, dloss!, count, start, attrs);
    webGpuMatMul(backend, {
      key: 'hidden gradient',
      m,
      n: width,
      k: classes,
      a: dense('a', d, { sizes: { outer: m, k: classes }, outer: classes, k: 1 }),
      b: dense('b', weight!, { sizes: { outer: width, k: classes }, outer: 1, k: width }),
      epilogue: storeDense({ out: dh, m, n: width, offset: start * width }),
    });
    webGpuMatMul(backend, {
      key: 'weight gradient',
      m: classes,
      n: width,
      k: m,
      a: dense('a', d, { sizes: { outer: classes, k: m }, outer: 1, k: classes }),
      b: dense('b', hidden!, { sizes: { outer: width, k: m }, outer: 1, k: width, offset: start * width }),
      epilogue: storeDense({ out: dw, m: classes, n: width, accumulate: start > 0 }),
    });
  });
  if (count) backend.disposeData(count.dataId);
  return [dh, dw];
};
