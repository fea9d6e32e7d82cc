import * as tf from '@tensorflow/tfjs-core';
import { ConfigError } from '@bytelm/core';
import { applyRotary } from './ops/rotary.js';
import { checkRotaryScaling, rotaryAmplitude, scaleFrequencies, type RotaryScaling } from './rotary-scaling.js';

export interface RotaryConfig {
  /** Channels of each head that take part, even. */
  rotaryDim: number;
  /** Base of the frequencies. Default 10000. */
  theta?: number;
  /** Pairs (2i, 2i+1); default false: pairs (i, i + R/2). */
  interleaved?: boolean;
  scaling?: RotaryScaling | undefined;
}

/** Angle of pair i at position 1, float64. */
export function rotaryFrequencies({ rotaryDim, theta = 10000, scaling }: RotaryConfig): Float64Array {
  const plain = Float64Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** ((-2 * i) / rotaryDim));
  if (!scaling) return plain;
  checkRotaryScaling(scaling);
  return scaleFrequencies(plain, theta, scaling);
}

/** What layers with the same frequencies share. */
interface Tables {
  users: number;
  rows: number;
  cos?: tf.Tensor2D;
  sin?: tf.Tensor2D;
}

const shared = new Map<string, Tables>();

/**
 * Tables of cosines and sines for `applyRotary`, grown by doubling and shared by every instance of the same configuration on the same
 * backend. Angles are float64 products: in float32 they would be off by 6e-3 at position 1e5.
 */
export class RotaryEmbedding {
  readonly config: Readonly<Required<Omit<RotaryConfig, 'scaling'>> & { scaling: RotaryScaling | undefined }>;
  private readonly frequencies: Float64Array;
  private readonly key: string;
  private disposed = false;

  /** @throws ConfigError */
  constructor(config: RotaryConfig) {
    const { rotaryDim, theta = 10000, interleaved = false, scaling } = config;
    if (!(Number.isInteger(rotaryDim) && rotaryDim > 0 && rotaryDim % 2 === 0)) {
      throw new ConfigError(`[RotaryEmbedding] rotaryDim: expected a positive even number, got ${rotaryDim}.`);
    }
    if (!(theta > 0)) throw new ConfigError(`[RotaryEmbedding] theta: expected a positive number, got ${theta}.`);
    this.config = { rotaryDim, theta, interleaved, scaling };
    this.frequencies = rotaryFrequencies(this.config);
    this.key = JSON.stringify([tf.getBackend(), rotaryDim, theta, scaling]);
    const tables = shared.get(this.key);
    if (tables) tables.users++;
    else shared.set(this.key, { users: 1, rows: 0 });
  }

  /** (P, R/2) tables with at least `positions` rows. They belong to this object. */
  tables(positions: number): { cos: tf.Tensor2D; sin: tf.Tensor2D } {
    const own = shared.get(this.key);
    if (!own || this.disposed) throw new ConfigError('[RotaryEmbedding] used after dispose().');
    if (!own.cos || own.rows < positions) {
      const rows = Math.max(256, 2 ** Math.ceil(Math.log2(Math.max(1, positions))));
      const half = this.frequencies.length;
      const cos = new Float32Array(rows * half);
      const sin = new Float32Array(rows * half);
      const amplitude = rotaryAmplitude(this.config.scaling);
      for (let p = 0, n = 0; p < rows; p++)
        for (let i = 0; i < half; i++, n++) {
          const angle = p * this.frequencies[i]!;
          cos[n] = amplitude * Math.cos(angle);
          sin[n] = amplitude * Math.sin(angle);
        }
      if (own.cos) tf.dispose([own.cos, own.sin!]);
      own.cos = tf.keep(tf.tensor2d(cos, [rows, half]));
      own.sin = tf.keep(tf.tensor2d(sin, [rows, half]));
      own.rows = rows;
    }
    return { cos: own.cos, sin: own.sin! };
  }

  /**
   * Turns x (B, T, H, D) by its positions.
   * @param at (B, T) int32 positions with the largest one, or the position of index 0. Default 0.
   */
  apply(x: tf.Tensor4D, at: number | { positions: tf.Tensor2D; max: number } = 0): tf.Tensor4D {
    const { interleaved } = this.config;
    if (typeof at === 'number') return applyRotary(x, { ...this.tables(at + x.shape[1]), offset: at, interleaved });
    return applyRotary(x, { ...this.tables(at.max + 1), positions: at.positions, interleaved });
  }

  dispose(): void {
    const own = shared.get(this.key);
    if (this.disposed || !own) return;
    this.disposed = true;
    if (--own.users > 0) return;
    shared.delete(this.key);
    if (own.cos) tf.dispose([own.cos, own.sin!]);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
