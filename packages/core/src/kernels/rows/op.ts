import * as tf from '@tensorflow/tfjs-core';
import { defineOp, type Op, type OpInputs } from '../../op/define-op.js';
import { cpuKernel, naiveForm, shapeOf } from '../host.js';
import { matMulOp } from '../mat-mul/op.js';
import { flatIndices } from './indices.js';
import { gatherRowsLoops, scatterAddRowsLoops } from './naive.js';
import { tensorflowGatherRows, tensorflowScatterAddRows } from './tensorflow.js';
import { wasmGatherRows, wasmScatterAddRows } from './wasm.js';
import { webGpuGatherRows, webGpuScatterAddRows } from './webgpu.js';

/** values (B, L, D), idx (B, L) -> (B, rows, D). */
export const scatterAddRowsOp: Op<'values' | 'idx', { rows: number }> = defineOp<'values' | 'idx', { rows: number }>({
  name: 'ScatterAddRows',
  inputs: ['values', 'idx'],
  portable: portableScatterAdd,
  naive: naiveForm(scatterAddRowsLoops),
  kernels: { cpu: cpuKernel(scatterAddRowsLoops), wasm: wasmScatterAddRows, webgpu: webGpuScatterAddRows, tensorflow: tensorflowScatterAddRows },
  gradient: ({ dys: [dy], inputs: { idx } }) => ({ values: gatherRowsOp({ x: dy, idx }, {})[0] }),
});

/** x (B, M, D), idx (B, L) -> (B, L, D). */
export const gatherRowsOp: Op<'x' | 'idx', object> = defineOp<'x' | 'idx', object>({
  name: 'GatherRows',
  inputs: ['x', 'idx'],
  portable: portableGather,
  naive: naiveForm(gatherRowsLoops),
  kernels: { cpu: cpuKernel(gatherRowsLoops), wasm: wasmGatherRows, webgpu: webGpuGatherRows, tensorflow: tensorflowGatherRows },
  gradient: ({ dys: [dy], inputs: { x, idx } }) => ({ x: scatterAddRowsOp({ values: dy, idx }, { rows: shapeOf(x!)[1] })[0] }),
});

function portableGather({ x, idx }: OpInputs<'x' | 'idx'>): tf.Tensor[] {
  const [batch, rows, width] = shapeOf(x!);
  const shape = [batch, shapeOf(idx!)[1], width];
  if (x!.size * idx!.size === 0) return [tf.zeros(shape)];
  // A row of zeros at the end is what index -1 reads: safe also where the table holds NaN.
  const table = tf.concat([tf.reshape(x!, [batch * rows, width]), tf.zeros([1, width])], 0);
  return [tf.reshape(tf.gather(table, flatIndices(idx!, rows, batch * rows)), shape)];
}

function portableScatterAdd({ values, idx }: OpInputs<'values' | 'idx'>, { rows }: { rows: number }): tf.Tensor[] {
  const [batch, length, width] = shapeOf(values!);
  const shape = [batch, rows, width];
  if (batch * length * width * rows === 0) return [tf.zeros(shape)];
  const backend = tf.getBackend();
  if (backend === 'cpu' || backend === 'wasm') {
    // unsortedSegmentSum is missing on wasm and quadratic on cpu, so this form multiplies by the one-hot matrix; both have kernels of their own.
    const hits = tf.equal(tf.expandDims(idx!, 1), tf.reshape(tf.range(0, rows, 1, 'int32'), [1, rows, 1]));
    return matMulOp({ a: tf.cast(hits, 'float32'), b: values! }, { transposeA: false, transposeB: false });
  }
  const sum = tf.unsortedSegmentSum(tf.reshape(values!, [batch * length, width]), flatIndices(idx!, rows, -1), batch * rows);
  return [tf.reshape(sum, shape)];
}
