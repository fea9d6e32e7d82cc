import { Linear, Module, withoutState, type BoundaryDecision, type Downsampler, type Rng, type Segmentation } from '@bytelm/core';
import { ChunkLayer } from '@bytelm/dynamic-chunking';
import * as tf from '@tensorflow/tfjs-core';

/**
 * A patch is its last byte's vector, projected: the encoder has read the patch and knows, thanks to the look-ahead, that it ends here.
 * (B, L, D) → (B, M, D): H-Net's selection of vectors at boundaries, and a linear map.
 * Keys: `out_projection.weight` (D, D), `out_projection.bias` (D).
 * @source Bolmo, arXiv 2512.15586, section 3.1.
 */
export class LastBytePool extends Module implements Downsampler<null> {
  readonly dEncoded: number;
  readonly dOut: number;
  readonly projection: Linear;
  readonly onDevice = withoutState(({ encoded }: { encoded: tf.Tensor2D }) => this.projection.forward(encoded));
  private readonly select = new ChunkLayer();

  constructor({ dModel }: { dModel: number }, rng?: Rng) {
    super();
    this.dEncoded = dModel;
    this.dOut = dModel;
    this.projection = this.addModule('out_projection', new Linear({ inFeatures: dModel, outFeatures: dModel }, rng));
  }

  forward(encoded: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
    return tf.tidy(() => this.projection.forward(this.select.forward(encoded, seg)));
  }

  initState(): null {
    return null;
  }

  prefill(encoded: tf.Tensor3D, seg: Segmentation): { chunks: tf.Tensor3D; state: null } {
    return { chunks: this.forward(encoded, seg), state: null };
  }

  step(encoded: tf.Tensor2D, decision: BoundaryDecision): { chunks?: tf.Tensor2D; state: null } {
    const { chunks: ends } = this.select.step(encoded, decision);
    if (!ends) return { state: null };
    const chunks = this.projection.forward(ends);
    ends.dispose();
    return { chunks, state: null };
  }
}
