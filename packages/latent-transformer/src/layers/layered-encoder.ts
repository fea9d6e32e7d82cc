import * as tf from '@tensorflow/tfjs-core';
import { after, ConfigError, joinOnDevice, Module, type MaybePromise, type OnDevice, type SequenceContext, type SequenceModel } from '@bytelm/core';

export interface LayeredEncoderState {
  layers: unknown[];
}

type Run<T extends tf.Tensor> = (layer: SequenceModel, x: T, state: unknown) => MaybePromise<{ y: T; state: unknown }>;

/**
 * Models one after the other that show what each of them gives, side by side: (B, L, D) → (B, L, n·D). The encoder for a `CrossAttentionPool` with
 * several layers. Parameters appear under the models' own names.
 *
 * @example
 * const encoder = new LayeredEncoder(blocks.map((b, i) => new ResidualStack([b], { names: { layers: [`layers.${i}`], norm: false } })));
 */
export class LayeredEncoder extends Module implements SequenceModel<LayeredEncoderState> {
  readonly dModel: number;
  readonly dOut: number;
  readonly layers: readonly SequenceModel[];
  /** Both where all layers have it. */
  readonly onDevice: OnDevice<tf.Tensor2D, tf.Tensor2D, LayeredEncoderState> | undefined;
  readonly rollback?: (state: LayeredEncoderState, rows: readonly number[], steps: readonly number[]) => LayeredEncoderState;

  /** @throws ConfigError */
  constructor(layers: readonly SequenceModel[]) {
    super();
    const dModel = layers[0]?.dModel;
    if (dModel === undefined) throw new ConfigError('[LayeredEncoder] no layers. Hint: at least one.');
    const odd = layers.findIndex((l) => l.dModel !== dModel || (l.dOut ?? l.dModel) !== dModel);
    if (odd >= 0) throw new ConfigError(`[LayeredEncoder] layer ${odd} maps width ${layers[odd]!.dModel} to ${layers[odd]!.dOut ?? layers[odd]!.dModel}, expected ${dModel} to ${dModel}.`);
    this.dModel = dModel;
    this.dOut = dModel * layers.length;
    this.layers = layers.map((l) => this.addModule('', l));
    this.onDevice = layersOnDevice(layers);
    if (layers.every((l) => l.rollback)) {
      this.rollback = (state, rows, steps) => ({ layers: layers.map((l, i) => l.rollback!(state.layers[i], rows, steps)) });
    }
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return tf.tidy(() => {
      const shown: tf.Tensor3D[] = [];
      for (const layer of this.layers) shown.push(layer.forward(shown.at(-1) ?? x, ctx));
      return tf.concat(shown, -1);
    });
  }

  initState(batchSize: number): LayeredEncoderState {
    return { layers: this.layers.map((l) => l.initState(batchSize)) };
  }

  prefill(x: tf.Tensor3D, state: LayeredEncoderState, ctx: SequenceContext): MaybePromise<{ y: tf.Tensor3D; state: LayeredEncoderState }> {
    return this.run(x, state, (layer, h, s) => layer.prefill(h, s, ctx));
  }

  step(x: tf.Tensor2D, state: LayeredEncoderState, rows?: readonly number[]): MaybePromise<{ y: tf.Tensor2D; state: LayeredEncoderState }> {
    return this.run(x, state, (layer, h, s) => layer.step(h, s, rows));
  }

  startDocument(state: LayeredEncoderState, rows: readonly number[]): LayeredEncoderState {
    return { layers: this.layers.map((l, i) => l.startDocument(state.layers[i], rows)) };
  }

  private run<T extends tf.Tensor>(x: T, state: LayeredEncoderState, apply: Run<T>): MaybePromise<{ y: T; state: LayeredEncoderState }> {
    const shown: T[] = [];
    const states: unknown[] = [];
    const from = (i: number): MaybePromise<{ y: T; state: LayeredEncoderState }> => {
      if (i < this.layers.length) {
        return after(apply(this.layers[i]!, shown.at(-1) ?? x, state.layers[i]), (out) => {
          shown.push(out.y);
          states.push(out.state);
          return from(i + 1);
        });
      }
      const y = shown.length === 1 ? shown[0]! : tf.concat(shown, -1);
      if (shown.length > 1) tf.dispose(shown);
      return { y, state: { layers: states } };
    };
    return from(0);
  }
}

/** Where all layers have steps on the device; the state is a list by the layers' numbers. */
function layersOnDevice(layers: readonly SequenceModel[]): OnDevice<tf.Tensor2D, tf.Tensor2D, LayeredEncoderState> | undefined {
  const parts = Object.fromEntries(layers.map((l, i) => [String(i), l.onDevice]));
  const inner = joinOnDevice(parts, (x: tf.Tensor2D, state, rows) => {
    const shown: tf.Tensor2D[] = [];
    layers.forEach((l, i) => shown.push(l.onDevice!.step(shown.at(-1) ?? x, state[i], rows)));
    return tf.concat(shown, -1);
  });
  return inner && { ...inner, begin: ({ layers: own }, room) => inner.begin(own, room) };
}
