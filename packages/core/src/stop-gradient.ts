import * as tf from '@tensorflow/tfjs-core';

interface RefCounting {
  incRef(dataId: object): void;
}

/**
 * The same values with the gradient tape cut: comparisons, masks and integer casts made from the result do not lie on the path
 * from parameters to loss (tfjs would throw there). Shares the data of `x`, costs nothing, and is disposed independently of `x`.
 */
export function stopGradient<T extends tf.Tensor>(x: T): T {
  const engine = tf.engine();
  (engine.backend as unknown as RefCounting).incRef(x.dataId);
  return engine.makeTensorFromTensorInfo({ dataId: x.dataId, shape: x.shape, dtype: x.dtype }) as T;
}
