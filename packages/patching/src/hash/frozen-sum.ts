import { ConfigError, defineOp } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';

/** x plus what tables on the host gave. Whoever wants a gradient through it has asked for the training of tables that cannot be trained. */
export const frozenSumOp = defineOp<'x' | 'fromHost', object>({
  name: 'FrozenHashSum',
  inputs: ['x', 'fromHost'],
  portable: ({ x, fromHost }) => [tf.add(x!, fromHost!)],
  gradient: () => {
    throw new ConfigError("[HashNgramEmbedding] tables with storage 'host' are not trainable, but a gradient of the embedding was asked for. Hint: storage 'device' to train, or train only parameters behind the embedding.");
  },
});
