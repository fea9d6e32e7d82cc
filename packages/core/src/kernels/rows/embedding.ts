import * as tf from '@tensorflow/tfjs-core';
import { defineOp } from '../../op/define-op.js';
import { cpuKernel, hostOutput, naiveForm, shapeOf, type Loops } from '../host.js';
import { idOutOfRange } from './id-check.js';
import { scatterAddRowsOp } from './op.js';
import { wasmEmbedding } from './wasm.js';
import { webGpuEmbedding } from './webgpu.js';

const embeddingLoops: Loops<'table' | 'ids', object> = ({ table, ids }) => {
  const [rows, width] = table!.shape;
  const y = hostOutput([...ids!.shape, width]);
  ids!.values.forEach((id: number, i: number) => {
    if (!(id >= 0 && id < rows)) idOutOfRange(id, i, rows);
    y.values.set(table!.values.subarray(id * width, (id + 1) * width), i * width);
  });
  return [y];
};

/** table (V, D), ids (...) -> (..., D). */
export const embeddingOp = defineOp<'table' | 'ids', object>({
  name: 'Embedding',
  inputs: ['table', 'ids'],
  portable: ({ table, ids }) => {
    const shape = [...ids!.shape, shapeOf(table!)[1]];
    return [ids!.size === 0 ? tf.zeros(shape) : tf.reshape(tf.gather(table!, tf.reshape(ids!, [ids!.size])), shape)];
  },
  naive: naiveForm(embeddingLoops),
  kernels: { cpu: cpuKernel(embeddingLoops), wasm: wasmEmbedding, webgpu: webGpuEmbedding },
  gradient: ({ dys: [dy], inputs: { table, ids } }) => {
    const [rows, width] = shapeOf(table!);
    const values = tf.reshape(dy, [1, ids!.size, width]);
    const [sum] = scatterAddRowsOp({ values, idx: tf.reshape(ids!, [1, ids!.size]) }, { rows });
    return { table: tf.reshape(sum, [rows, width]) };
  },
});
