import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '../../op/define-op.js';
import { cpuKernel, hostOutput, naiveForm, type Loops } from '../host.js';
import { checkHostLabels, type CrossEntropyAttrs } from './labels.js';
import { crossEntropyGradient, reduceLosses, rowLosses } from './portable.js';
import { tensorflowCrossEntropy, tensorflowCrossEntropyGrad } from './tensorflow.js';
import { wasmCrossEntropy, wasmCrossEntropyGrad } from './wasm.js';
import { webGpuCrossEntropy, webGpuCrossEntropyGrad } from './webgpu.js';

const crossEntropyLoops: Loops<'logits' | 'labels', CrossEntropyAttrs> = ({ logits, labels }, { ignoreIndex, zLoss, isMean }) => {
  const [rows, classes] = logits!.shape;
  checkHostLabels(labels!.values, classes, ignoreIndex);
  const losses = hostOutput([rows]);
  let total = 0;
  let counted = 0;
  for (let r = 0; r < rows; r++) {
    const label = labels!.values[r];
    if (label === ignoreIndex) continue;
    const row = logits!.values.subarray(r * classes, (r + 1) * classes);
    const top = Math.max(...row);
    let sum = 0;
    for (const v of row) sum += Math.exp(v - top);
    const lse = top + Math.log(sum);
    losses.values[r] = lse - row[label] + zLoss * lse * lse;
    total += losses.values[r];
    counted++;
  }
  return [isMean ? { shape: [], values: Float32Array.of(total / Math.max(counted, 1)) } : losses];
};

/** logits (N, V), labels (N) -> () or (N). */
export const crossEntropyOp = defineOp<'logits' | 'labels', CrossEntropyAttrs>({
  name: 'CrossEntropy',
  inputs: ['logits', 'labels'],
  portable: ({ logits, labels }, attrs) => [
    labels!.size === 0 ? tf.zeros(attrs.isMean ? [] : [0]) : reduceLosses(rowLosses(logits!, labels!, attrs.zLoss), labels!, attrs),
  ],
  naive: naiveForm(crossEntropyLoops),
  kernels: { cpu: cpuKernel(crossEntropyLoops), wasm: wasmCrossEntropy, tensorflow: tensorflowCrossEntropy, webgpu: webGpuCrossEntropy },
  gradient: ({ dys: [dloss], inputs: { logits, labels }, attrs }) => ({ logits: crossEntropyGradOp({ logits, labels, dloss }, attrs)[0] }),
});

/** dlogits (N, V). */
export const crossEntropyGradOp = defineOp<'logits' | 'labels' | 'dloss', CrossEntropyAttrs>({
  name: 'CrossEntropyGrad',
  inputs: ['logits', 'labels', 'dloss'],
  portable: ({ logits, labels, dloss }, attrs) => [labels!.size === 0 ? tf.zeros(logits!.shape) : crossEntropyGradient(logits!, labels!, dloss!, attrs)],
  kernels: { wasm: wasmCrossEntropyGrad, tensorflow: tensorflowCrossEntropyGrad, webgpu: webGpuCrossEntropyGrad },
});
