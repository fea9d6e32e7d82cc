import * as tf from '@tensorflow/tfjs-core';

/** A decoding state: plain objects and arrays of tensors, typed arrays and JSON values. */
export type StateTree = unknown;

function mapTree(node: StateTree, onTensor: (t: tf.Tensor) => StateTree): StateTree {
  if (node instanceof tf.Tensor) return onTensor(node);
  if (ArrayBuffer.isView(node)) return (node as Float32Array).slice();
  if (Array.isArray(node)) return node.map((n) => mapTree(n, onTensor));
  if (node && typeof node === 'object') return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, mapTree(v, onTensor)]));
  return node;
}

/** A deep copy. Kernels may update a state in place, so sharing the data of a tensor would not do. */
export function cloneState<S>(state: S): S {
  return mapTree(state, copyTensor) as S;
}

/** A tensor with its own memory (tf.clone shares it). */
export function copyTensor<T extends tf.Tensor>(t: T): T {
  return tf.tidy(() => (t.dtype === 'bool' ? tf.cast(tf.add(tf.cast(t, 'int32'), tf.scalar(0, 'int32')), 'bool') : tf.add(t, tf.scalar(0, t.dtype)))) as T;
}

/** Frees every tensor of a state. */
export function disposeState(state: StateTree): void {
  mapTree(state, (t) => {
    if (!t.isDisposed) t.dispose();
    return t;
  });
}

/** Marks every tensor so that an enclosing `tf.tidy` does not free it. */
export function keepState<S>(state: S): S {
  return mapTree(state, (t) => tf.keep(t)) as S;
}

/** The same state with memory of its own, to be changed in place: tensors that share theirs are copied. Consumes `state`. */
export function ownState<S>(state: S): S {
  return mapTree(state, (t) => {
    if (tf.backend().refCount(t.dataId) === 1) return t;
    const copy = copyTensor(t);
    t.dispose();
    return copy;
  }) as S;
}
