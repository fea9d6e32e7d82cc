import { gatherRows, Linear, Module, putRows, RMSNorm, takeRows, type BoundaryDecision, type Rng, type Segmentation, type Upsampler } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { unpoolOnDevice } from './unpool-on-device.js';

export interface PatchUnpoolState {
  /** (B, D) the normed output of the latest patch of each row. */
  latest: tf.Tensor2D;
}

/**
 * Each byte gets the output of the latest patch that has ended, its own included, and its own vector from the encoder, projected:
 *
 *     z_t = in_projection(e_t) + rmsNorm(h_{latest patch at t})
 *
 * No gate and no smoothing: while decoding, boundaries are emitted and certain.
 * Keys: `in_projection.weight` (D, D), `in_projection.bias` (D), `initial_norm.weight` (D).
 * @source Bolmo, arXiv 2512.15586, section 3.1; the norm is in the published code only.
 */
export class PatchUnpool extends Module implements Upsampler<PatchUnpoolState> {
  readonly dModel: number;
  readonly dMain: number;
  readonly dEncoded: number;
  readonly projection: Linear;
  readonly norm: RMSNorm;
  readonly onDevice = unpoolOnDevice(this);

  constructor({ dModel, normEps = 1e-5 }: { dModel: number; normEps?: number }, rng?: Rng) {
    super();
    this.dModel = this.dMain = this.dEncoded = dModel;
    this.projection = this.addModule('in_projection', new Linear({ inFeatures: dModel, outFeatures: dModel }, rng));
    this.norm = this.addModule('initial_norm', new RMSNorm(dModel, normEps));
  }

  forward(main: tf.Tensor3D, encoded: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
    return tf.tidy(() => tf.add(this.projection.forward(encoded), gatherRows(this.norm.forward(main), seg.visibleChunk())));
  }

  initState(batchSize: number): PatchUnpoolState {
    return { latest: tf.zeros([batchSize, this.dModel]) };
  }

  prefill(main: tf.Tensor3D, encoded: tf.Tensor3D, seg: Segmentation, state: PatchUnpoolState): { y: tf.Tensor3D; state: PatchUnpoolState } {
    const [y, latest] = tf.tidy(() => {
      // The patch from before the piece stands in front of those that end in it.
      const patches = tf.concat([tf.expandDims(state.latest, 1), this.norm.forward(main)], 1) as tf.Tensor3D;
      const seen = gatherRows(patches, tf.add(seg.visibleChunk(), tf.scalar(1, 'int32')) as tf.Tensor2D);
      const last = gatherRows(patches, tf.tensor2d(seg.numChunks, [seg.batch, 1], 'int32'));
      return [tf.add(this.projection.forward(encoded), seen) as tf.Tensor3D, tf.squeeze(last, [1]) as tf.Tensor2D];
    });
    state.latest.dispose();
    return { y, state: { latest } };
  }

  step(main: tf.Tensor2D | undefined, encoded: tf.Tensor2D, { boundary }: BoundaryDecision, state: PatchUnpoolState, rows?: readonly number[]): { y: tf.Tensor2D; state: PatchUnpoolState } {
    let { latest } = state;
    if (main) {
      const fired = Array.from(boundary.keys()).filter((i) => boundary[i]).map((i) => (rows ? rows[i]! : i));
      const before = latest;
      latest = tf.tidy(() => putRows(before, fired.length === before.shape[0] ? undefined : fired, this.norm.forward(main)));
      before.dispose();
    }
    const y = tf.tidy(() => tf.add(this.projection.forward(encoded), takeRows(latest, rows)) as tf.Tensor2D);
    return { y, state: { latest } };
  }
}
