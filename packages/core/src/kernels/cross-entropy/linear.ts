import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type FastKernel, type OpInputs } from '../../op/define-op.js';
import { cpuValues } from '../host.js';
import { linearOp } from '../linear/op.js';
import { matMulOp } from '../mat-mul/op.js';
import { crossEntropyOp } from './op.js';
import { checkHostLabels, rowScale, rowWeights, type CrossEntropyAttrs } from './labels.js';
import { logitGradient, reduceLosses, rowLosses } from './portable.js';
import { wasmLinearCrossEntropy, wasmLinearCrossEntropyGrad } from './wasm.js';
import { webGpuLinearCrossEntropy, webGpuLinearCrossEntropyGrad } from './webgpu-linear.js';

type LinearCrossEntropyInput = 'hidden' | 'weight' | 'labels';

/** Logits that are alive at one time: 16 MiB of float32. */
const CHUNK_VALUES = 1 << 22;

interface Chunk {
  hidden: tf.Tensor;
  labels: tf.Tensor;
  logits: tf.Tensor;
  start: number;
  rows: number;
}

/** Runs `f` on blocks of rows with their logits, each in a tidy of its own. */
function mapChunks<T extends tf.Tensor | tf.Tensor[]>({ hidden, weight, labels }: OpInputs<LinearCrossEntropyInput>, f: (chunk: Chunk) => T): T[] {
  const [rows, width] = hidden!.shape;
  const step = Math.max(64, Math.floor(CHUNK_VALUES / weight!.shape[0]));
  const out: T[] = [];
  for (let start = 0; start < rows; start += step) {
    const n = Math.min(step, rows - start);
    out.push(
      tf.tidy(() => {
        const isAll = n === rows;
        const h = isAll ? hidden! : tf.slice(hidden!, [start, 0], [n, width]);
        const l = isAll ? labels! : tf.slice(labels!, [start], [n]);
        return f({ hidden: h, labels: l, logits: linearOp({ x: h, weight }, {})[0], start, rows: n });
      }),
    );
  }
  return out;
}

/** Labels are on the host here, so they are checked; the portable form does the rest. */
const checkOnCpu: FastKernel<LinearCrossEntropyInput, CrossEntropyAttrs> = ({ inputs: { weight, labels }, attrs, backend }) => {
  checkHostLabels(cpuValues(backend, labels!), weight!.shape[0], attrs.ignoreIndex);
  return null;
};

const isEmpty = (inputs: OpInputs<LinearCrossEntropyInput>) => inputs.labels!.size === 0;

/** hidden (N, D), weight (V, D), labels (N) -> () or (N). */
export const linearCrossEntropyOp = defineOp<LinearCrossEntropyInput, CrossEntropyAttrs>({
  name: 'LinearCrossEntropy',
  inputs: ['hidden', 'weight', 'labels'],
  portable: (inputs, attrs) => {
    if (isEmpty(inputs)) return [tf.zeros(attrs.isMean ? [] : [0])];
    const losses = mapChunks(inputs, ({ logits, labels }) => rowLosses(logits, labels, attrs.zLoss));
    return [reduceLosses(tf.concat(losses, 0), inputs.labels!, attrs)];
  },
  naive: ({ hidden, weight, labels }, attrs) =>
    crossEntropyOp.spec.naive!({ logits: linearOp.spec.naive!({ x: hidden, weight }, {})[0], labels }, attrs),
  kernels: { cpu: checkOnCpu, wasm: wasmLinearCrossEntropy, webgpu: webGpuLinearCrossEntropy },
  gradient: ({ dys: [dloss], inputs, attrs }) => {
    const [dh, dw] = linearCrossEntropyGradOp({ ...inputs, dloss }, attrs);
    return { hidden: dh, weight: dw };
  },
});

/** dhidden (N, D), dweight (V, D); the logits are computed again. */
export const linearCrossEntropyGradOp = defineOp<LinearCrossEntropyInput | 'dloss', CrossEntropyAttrs>({
  name: 'LinearCrossEntropyGrad',
  inputs: ['hidden', 'weight', 'labels', 'dloss'],
  portable: (inputs, attrs) => {
    const { hidden, weight, labels, dloss } = inputs;
    if (isEmpty(inputs)) return [tf.zeros(hidden!.shape), tf.zeros(weight!.shape)];
    const scale = rowScale(rowWeights(labels!, attrs.ignoreIndex), dloss!, attrs.isMean);
    const parts = mapChunks(inputs, (c) => {
      const d = logitGradient(c.logits, c.labels, tf.slice(scale, [c.start, 0], [c.rows, 1]), attrs.zLoss);
      const [dh] = matMulOp({ a: d, b: weight! }, { transposeA: false, transposeB: false });
      const [dw] = matMulOp({ a: d, b: c.hidden }, { transposeA: true, transposeB: false });
      return [dh, dw];
    });
    return [tf.concat(parts.map(([dh]) => dh), 0), tf.addN(parts.map(([, dw]) => dw))];
  },
  kernels: { wasm: wasmLinearCrossEntropyGrad, webgpu: webGpuLinearCrossEntropyGrad },
});
