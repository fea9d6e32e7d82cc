import type * as tf from '@tensorflow/tfjs-core';
import { joinOnDevice, type OnDevice } from '../contracts/on-device.js';
import type { StageParts, StageState } from './stage.js';

/**
 * Steps of a stage on the device, where all of its parts have them. Boundaries stay there: the main network is stepped for every row, and
 * those without a boundary keep its state as it was. Its kernels leave at once where no row has one.
 *
 * @param boundaryFrom Of the model's head, where ids say that chunks end.
 */
export function stageOnDevice(
  { encoder, chunker, downsample, main, upsample, decoder }: StageParts,
  boundaryFrom: number | undefined,
): OnDevice<tf.Tensor2D, tf.Tensor2D, StageState> | undefined {
  const parts = {
    encoder: encoder.onDevice,
    chunker: chunker.onDevice,
    downsample: downsample.onDevice,
    main: main.onDevice,
    upsample: upsample.onDevice,
    decoder: decoder.onDevice,
  };
  return joinOnDevice(parts, (x: tf.Tensor2D, state, rows) => {
    const encoded = parts.encoder!.step(x, state.encoder, rows);
    const decision = parts.chunker!.step(encoded, state.chunker, { ...rows, boundaryFrom });
    rows.boundaries?.push(decision.boundary);
    const chunks = parts.downsample!.step({ encoded, decision }, state.downsample, rows);
    const fired = { ...rows, active: decision.boundary };
    const z = parts.main!.step(chunks, state.main, fired);
    const y = parts.upsample!.step({ main: z, encoded, decision }, state.upsample, rows);
    parts.decoder!.remember?.(z, state.decoder, fired);
    return parts.decoder!.step(y, state.decoder, rows);
  });
}
