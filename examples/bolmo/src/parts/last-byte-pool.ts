import { gatherRows, Linear, Module, takeRows, type BoundaryDecision, type Downsampler, type Rng, type Segmentation } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';

/**
 * A patch is its last byte's vector, projected: the encoder has read the patch and knows, thanks to the look-ahead, that it ends here.
 * (B, L, D) → (B, M, D). Keys: `out_projection.weight` (D, D), `out_projection.bias` (D).
 * @source Bolmo, arXiv 2512.15586, section 3.1.
 */
export class LastBytePool extends Module implements Downsampler<null> {
  readonly dEncoded: number;
  readonly dOut: number;
  readonly projection: Linear;

  constructor({ dModel }: { dModel: number }, rng?: Rng) {
    super();
    this.dEncoded = dModel;
    this.dOut = dModel;
    this.projection = this.addModule('out_projection', new Linear({ inFeatures: dModel, outFeatures: dModel }, rng));
  }

  forward(encoded: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
    return tf.tidy(() => this.projection.forward(gatherRows(encoded, seg.boundaryIndex())));
  }

  initState(): null {
    return null;
  }

  prefill(encoded: tf.Tensor3D, seg: Segmentation): { chunks: tf.Tensor3D; state: null } {
    return { chunks: this.forward(encoded, seg), state: null };
  }

  step(encoded: tf.Tensor2D, { boundary }: BoundaryDecision): { chunks?: tf.Tensor2D; state: null } {
    const fired = Array.from(boundary.keys()).filter((i) => boundary[i]);
    if (!fired.length) return { state: null };
    const ends = takeRows(encoded, fired.length === boundary.length ? undefined : fired);
    const chunks = this.projection.forward(ends);
    ends.dispose();
    return { chunks, state: null };
  }
}
