import * as tf from '@tensorflow/tfjs-core';
import { checkShape, ConfigError, hostTensor, hostValues, withoutState, type Upsampler } from '@bytelm/core';

export interface CrossAttentionUnpoolConfig {
  /** Width of the encoder, and of the decoder. */
  dModel: number;
  /** Encoder outputs side by side, as in `CrossAttentionPool`; the last one goes on. Default 1. */
  layers?: number;
}

/**
 * BLT's way back to bytes: the decoder starts from the encoder's last output, and nothing is added here. The main network's outputs reach it
 * through `CrossAttentionBlock`s.
 * @source arXiv 2412.09871, section 3.3.
 */
export class CrossAttentionUnpool implements Upsampler<null> {
  readonly dModel: number;
  readonly dEncoded: number;
  readonly layers: number;
  readonly onDevice = withoutState(({ encoded }: { encoded: tf.Tensor2D }) => this.last(encoded));

  /** @throws ConfigError */
  constructor({ dModel, layers = 1 }: CrossAttentionUnpoolConfig) {
    if (!(Number.isInteger(layers) && layers > 0)) throw new ConfigError(`[CrossAttentionUnpool] layers: expected a positive whole number, got ${layers}.`);
    this.dModel = dModel;
    this.layers = layers;
    this.dEncoded = layers * dModel;
  }

  /** encoded (B, L, layers·D) → (B, L, D). */
  forward(_main: tf.Tensor3D, encoded: tf.Tensor3D): tf.Tensor3D {
    return this.last(encoded);
  }

  initState(): null {
    return null;
  }

  prefill(_main: tf.Tensor3D, encoded: tf.Tensor3D): { y: tf.Tensor3D; state: null } {
    return { y: this.last(encoded), state: null };
  }

  step(_main: tf.Tensor2D | undefined, encoded: tf.Tensor2D): { y: tf.Tensor2D; state: null } {
    const [R, width] = encoded.shape;
    const D = this.dModel;
    // A short loop: an op costs ten times as much.
    const quick =
      width === D * this.layers &&
      hostTensor<tf.Tensor2D>([R, D], (out) => {
        const from = hostValues(encoded)!;
        for (let r = 0; r < R; r++) out.set(from.subarray((r + 1) * width - D, (r + 1) * width), r * D);
      });
    return { y: quick || this.last(encoded), state: null };
  }

  private last<T extends tf.Tensor>(encoded: T): T {
    const width = this.dModel * this.layers;
    const lead = encoded.shape.slice(0, -1);
    checkShape('CrossAttentionUnpool', encoded, 'encoded', `(${[...lead, width].join(', ')})`, {}, 'float32');
    if (this.layers === 1) return tf.clone(encoded);
    return tf.slice(encoded, [...lead.map(() => 0), width - this.dModel], [...lead, this.dModel]);
  }
}
