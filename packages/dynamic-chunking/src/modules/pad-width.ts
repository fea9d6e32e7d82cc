import * as tf from '@tensorflow/tfjs-core';
import { after, ConfigError, hostTensor, hostValues, Module, type MaybePromise, type OnDevice, type Segmentation, type SequenceContext, type SequenceModel } from '@bytelm/core';

/**
 * Lets a wider model stand inside a narrower one: appends a learned vector to every position, runs the inner model, and keeps the first
 * channels of what comes out.
 *
 * Keys: `pad_dimension` (Dinner − D), initially 0, absent when the widths are equal; the inner model's under `name`.
 * @source H-Net, arXiv 2507.07955, section 2.1 (expanding width at each stage).
 */
export class PadWidth<S = unknown> extends Module implements SequenceModel<S> {
  readonly dModel: number;
  readonly inner: SequenceModel<S>;
  readonly plan?: (x: tf.Tensor3D, ctx: SequenceContext) => Promise<Segmentation[]>;
  readonly onDevice: OnDevice<tf.Tensor2D, tf.Tensor2D, S> | undefined;
  private readonly pad: tf.Tensor1D | undefined;

  constructor(inner: SequenceModel<S>, options: { dModel: number; name?: string }) {
    super();
    const extra = inner.dModel - options.dModel;
    if (extra < 0) throw new ConfigError(`[PadWidth] the inner model is narrower (${inner.dModel}) than the outer one (${options.dModel}).`);
    this.dModel = options.dModel;
    this.inner = this.addModule(options.name ?? '', inner);
    if (extra > 0) this.pad = this.addParameter('pad_dimension', tf.zeros([extra])) as tf.Tensor as tf.Tensor1D;
    const { onDevice } = inner;
    this.onDevice = onDevice && { ...onDevice, step: (x, state, rows) => this.narrow(onDevice.step(this.widen(x), state, rows)) };
    if (inner.plan) {
      this.plan = async (x, ctx) => {
        const wide = this.widen(x);
        const plan = await inner.plan!(wide, ctx);
        wide.dispose();
        return plan;
      };
    }
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return this.narrow(this.inner.forward(this.widen(x), ctx));
  }

  initState(batchSize: number): S {
    return this.inner.initState(batchSize);
  }

  prefill(x: tf.Tensor3D, state: S, ctx: SequenceContext): MaybePromise<{ y: tf.Tensor3D; state: S }> {
    return this.around(this.widen(x), (w) => this.inner.prefill(w, state, ctx), (y) => this.narrow(y));
  }

  step(x: tf.Tensor2D, state: S, rows?: readonly number[]): MaybePromise<{ y: tf.Tensor2D; state: S }> {
    const wide = this.pad && fitRows(x, this.inner.dModel, this.pad);
    if (!wide) return this.around(this.widen(x), (w) => this.inner.step(w, state, rows), (y) => this.narrow(y));
    return this.around(wide, (w) => this.inner.step(w, state, rows), (y) => fitRows(y, this.dModel, undefined)!);
  }

  startDocument(state: S, rows: readonly number[]): S {
    return this.inner.startDocument(state, rows);
  }

  /** Runs the inner model on `wide`, which it frees. */
  private around<T extends tf.Tensor>(
    wide: T,
    run: (wide: T) => MaybePromise<{ y: T; state: S }>,
    narrow: (y: T) => T,
  ): MaybePromise<{ y: T; state: S }> {
    return after(run(wide), ({ y, state }) => {
      const narrowed = narrow(y);
      tf.dispose([wide, y]);
      return { y: narrowed, state };
    });
  }

  private widen<T extends tf.Tensor>(x: T): T {
    const { pad } = this;
    if (!pad) return tf.clone(x);
    return tf.tidy(() => tf.concat([x, tf.add(tf.zeros([...x.shape.slice(0, -1), pad.size]), pad)], -1)) as T;
  }

  private narrow<T extends tf.Tensor>(y: T): T {
    if (!this.pad) return tf.clone(y);
    const begin = y.shape.map(() => 0);
    return tf.slice(y, begin, [...y.shape.slice(0, -1), this.dModel]) as T;
  }
}

/** (R, D) → (R, width): each row cut to `width` channels, or filled up from `pad`. Only for steps: nothing is recorded for gradients. */
function fitRows(x: tf.Tensor2D, width: number, pad: tf.Tensor1D | undefined): tf.Tensor2D | undefined {
  const [R, D] = x.shape;
  const kept = Math.min(D, width);
  return hostTensor<tf.Tensor2D>([R, width], (out) => {
    const from = hostValues(x)!;
    const fill = pad && hostValues(pad);
    for (let r = 0; r < R; r++) {
      out.set(from.subarray(r * D, r * D + kept), r * width);
      if (fill && width > D) out.set(fill, r * width + D);
    }
  });
}
