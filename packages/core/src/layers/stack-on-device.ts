import type * as tf from '@tensorflow/tfjs-core';
import type { DeviceRows, OnDevice } from '../contracts/on-device.js';
import type { AddedPair, ResidualBlock, ResidualPair } from '../contracts/residual-block.js';
import type { ResidualStackState } from './residual-stack.js';

/** Steps of a stack on the device, where all of its blocks have them. `end` joins the last pair. */
export function stackOnDevice(
  blocks: readonly ResidualBlock[],
  end: (pair: AddedPair<tf.Tensor2D>) => tf.Tensor2D,
): OnDevice<tf.Tensor2D, tf.Tensor2D, ResidualStackState, ResidualStackState> | undefined {
  const steps = blocks.flatMap((b) => (b.onDevice ? [b.onDevice] : []));
  if (steps.length < blocks.length) return undefined;
  return {
    canStep: (batchSize) => steps.every((s) => s.canStep(batchSize)),
    begin: ({ layers }, room) => ({ layers: steps.map((s, i) => s.begin(layers[i], room)) }),
    extend: ({ layers }, room) => ({ layers: steps.map((s, i) => s.extend(layers[i], room)) }),
    step(x: tf.Tensor2D, { layers }: ResidualStackState, rows: DeviceRows) {
      const last = steps.reduce((pair, s, i) => s.step(pair, layers[i], rows), { hidden: x } as ResidualPair<tf.Tensor2D>);
      return end(last as AddedPair<tf.Tensor2D>);
    },
    ...(steps.some((s) => s.remember) && {
      remember: (chunks: tf.Tensor2D, { layers }: ResidualStackState, rows: DeviceRows) => steps.forEach((s, i) => s.remember?.(chunks, layers[i], rows)),
    }),
  };
}
