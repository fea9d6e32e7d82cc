import * as tf from '@tensorflow/tfjs-core';

/** tf.tidy for results that are declared as interfaces, which tfjs' container type does not admit. */
export const tidy = <T>(f: () => T): T => tf.tidy(f as () => tf.TensorContainer) as T;
