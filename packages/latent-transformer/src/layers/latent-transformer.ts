import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, Linear, Module, ResidualStack, type LayeredModel, type OnDevice, type ResidualStackState, type Rng, type SequenceContext } from '@bytelm/core';
import type { RotaryScaling } from '../rotary-scaling.js';
import { depthInit, type InitStdFactor } from './initialization.js';
import { TransformerBlock, type TransformerBlockConfig } from './transformer-block.js';

export interface LatentTransformerConfig extends Omit<TransformerBlockConfig, 'windowSize' | 'rotaryScaling'> {
  numLayers: number;
  /** For all layers, or one for each. −1 (default): all earlier positions are seen. */
  windowSize?: number | readonly number[];
  /** For all layers, or one for each (null: none): Olmo 3 scales the layers without a window only. */
  rotaryScaling?: RotaryScaling | readonly (RotaryScaling | null | undefined)[] | undefined;
  /** Width of the input where it differs from `dModel`: a projection `token_embedding_projection` comes first. */
  dInput?: number | undefined;
  /** Name of the norm at the end; `false`: none, as in BLT. Default 'rmsnorm'. */
  finalNorm?: string | false;
  /** Prefix of the layers. Default 'layers'. */
  layerPrefix?: string;
  /** Draw the weights as BLT does, see `depthInit`; `initStd` and its like are ignored then. */
  initStdFactor?: InitStdFactor | undefined;
}

/**
 * Causal transformer (B, L, D) → (B, L, D): a `SequenceModel` that can take the place of any encoder, decoder or main network. BLT's
 * global model, stacks of H-Net's T blocks, the body of Llama and Olmo.
 *
 * Without `outInitStd` the last projections of the branches start smaller by the square root of the number of additions.
 *
 * Keys: `layers.{i}.…` of `TransformerBlock`, `rmsnorm.weight` (or the name given), `token_embedding_projection.weight` (dModel, dInput).
 */
export class LatentTransformer extends Module implements LayeredModel<ResidualStackState> {
  readonly config: Readonly<LatentTransformerConfig>;
  /** Width of the input. */
  readonly dModel: number;
  /** Width of the layers and the output. */
  readonly dOut: number;
  readonly stack: ResidualStack;
  readonly blocks: readonly TransformerBlock[];
  readonly inputProjection: Linear | undefined;
  readonly onDevice: OnDevice<tf.Tensor2D, tf.Tensor2D, ResidualStackState> | undefined;

  /** @throws ConfigError */
  constructor(config: LatentTransformerConfig, rng?: Rng) {
    super();
    const { numLayers, dModel, dInput = dModel, windowSize = -1, rotaryScaling, finalNorm = 'rmsnorm', layerPrefix = 'layers', initStd = 0.02, dIntermediate = 0, multipleOf = 1 } = config;
    const each = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? (value as readonly T[]) : Array.from({ length: numLayers }, () => value as T));
    const windows = each<number>(windowSize);
    const scalings = each<RotaryScaling | null | undefined>(rotaryScaling);
    if (!(Number.isInteger(numLayers) && numLayers > 0) || windows.length !== numLayers) {
      throw new ConfigError(`[LatentTransformer] numLayers: expected a positive whole number and as many windows, got ${numLayers} and ${windows.length}.`);
    }
    if (scalings.length !== numLayers) throw new ConfigError(`[LatentTransformer] rotaryScaling: expected one for all layers or one for each of ${numLayers}, got ${scalings.length}.`);
    const additions = numLayers * (dIntermediate > 0 ? 2 : 1);
    const outInitStd = config.outInitStd ?? initStd / Math.sqrt(additions);
    const width = { dModel, dIntermediate: Math.ceil(dIntermediate / multipleOf) * multipleOf, numLayers };
    const init = (layer: number) => (config.initStdFactor ? depthInit({ ...width, layer }, config.initStdFactor) : { initStd, outInitStd });
    this.config = config;
    this.dModel = dInput;
    this.dOut = dModel;
    if (dInput !== dModel) {
      const std = config.initStdFactor ? dInput ** -0.5 : initStd;
      const projection = new Linear({ inFeatures: dInput, outFeatures: dModel, bias: false, initStd: std, initCut: config.initStdFactor && 3 }, rng?.fork('token_embedding_projection'));
      this.inputProjection = this.addModule('token_embedding_projection', projection);
    }
    this.blocks = windows.map((w, i) => new TransformerBlock({ ...config, windowSize: w, rotaryScaling: scalings[i] ?? undefined, ...init(i) }, rng?.fork(`layers.${i}`)));
    this.stack = this.addModule('', new ResidualStack(this.blocks, { eps: config.normEps ?? 1e-5, names: { layers: layerPrefix, norm: finalNorm } }));
    const { onDevice } = this.stack;
    this.onDevice = onDevice && { ...onDevice, step: (x, state, rows) => onDevice.step(this.inputProjection?.forward(x) ?? x, state, rows) };
  }

  /** How often the stack adds to its residual stream; initialisations depend on it. */
  get additions(): number {
    return this.stack.additions;
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return tf.tidy(() => this.stack.forward(this.inputProjection?.forward(x) ?? x, ctx));
  }

  get numBlocks(): number {
    return this.stack.numBlocks;
  }

  streams(x: tf.Tensor3D, ctx: SequenceContext, depths: readonly number[]): tf.Tensor3D[] {
    return tf.tidy(() => this.stack.streams(this.inputProjection?.forward(x) ?? x, ctx, depths));
  }

  fromStream(stream: tf.Tensor3D): tf.Tensor3D {
    return this.stack.fromStream(stream);
  }

  initState(batchSize: number): ResidualStackState {
    return this.stack.initState(batchSize);
  }

  prefill(x: tf.Tensor3D, state: ResidualStackState, ctx: SequenceContext): { y: tf.Tensor3D; state: ResidualStackState } {
    return this.projected(x, (inside) => this.stack.prefill(inside, state, ctx));
  }

  step(x: tf.Tensor2D, state: ResidualStackState, rows?: readonly number[]): { y: tf.Tensor2D; state: ResidualStackState } {
    return this.projected(x, (inside) => this.stack.step(inside, state, rows));
  }

  startDocument(state: ResidualStackState, rows: readonly number[]): ResidualStackState {
    return this.stack.startDocument(state, rows);
  }

  /**
   * Takes back the last `steps[i]` positions of `rows[i]`.
   * @throws DataError when a window's ring no longer holds what is needed: `cacheSlack` + 1 positions can always be taken back.
   */
  rollback(state: ResidualStackState, rows: readonly number[], steps: readonly number[]): ResidualStackState {
    return this.stack.rollback!(state, rows, steps);
  }

  /** Runs what consumes a state outside of any `tidy`, on the projected input. */
  private projected<T extends tf.Tensor, R>(x: T, run: (inside: T) => R): R {
    if (!this.inputProjection) return run(x);
    const inside = this.inputProjection.forward(x);
    const result = run(inside);
    inside.dispose();
    return result;
  }
}

/** A stack of transformer blocks, as a function like the stacks of the other packages. */
export function transformerStack(config: LatentTransformerConfig, rng?: Rng): LatentTransformer {
  return new LatentTransformer(config, rng);
}
