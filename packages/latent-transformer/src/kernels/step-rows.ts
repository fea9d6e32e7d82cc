import * as tf from '@tensorflow/tfjs-core';
import type { AddedPair, ResidualPair, WasmHeap } from '@bytelm/core';

/** An (R, D) tensor that a kernel fills. */
export function emptyRows(heap: WasmHeap, rows: number, width: number): tf.Tensor2D {
  return tf.engine().makeTensorFromTensorInfo(heap.output([rows, width])) as tf.Tensor2D;
}

/**
 * Where a block's kernel puts its results: into the pair it reads, where the caller lets it and nobody else shares that memory, or into new
 * tensors. The kernels read all of the pair before they write.
 */
export function outputPair(heap: WasmHeap, { hidden, residual }: ResidualPair<tf.Tensor2D>, mayReuse: boolean | undefined): AddedPair<tf.Tensor2D> {
  const backend = tf.backend() as { refCount(id: object): number };
  if (mayReuse && residual && backend.refCount(hidden.dataId) === 1 && backend.refCount(residual.dataId) === 1) return { hidden, residual };
  const [rows, width] = hidden.shape;
  return { hidden: emptyRows(heap, rows, width), residual: emptyRows(heap, rows, width) };
}
