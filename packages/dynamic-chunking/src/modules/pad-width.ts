import * as tf from '@tensorflow/tfjs-core';
import { after, ConfigError, Module, type MaybePromise, type Segmentation, type SequenceContext, type SequenceModel } from '@bytelm/core';

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
  private readonly pad: tf.Tensor1D | undefined;

  constructor(inner: SequenceModel<S>, options: { dModel: number; name?: string }) {
    super();
    const extra = inner.dModel - options.dModel;
    if (extra < 0) throw new ConfigError(`[PadWidth] the inner model is narrower (${inner.dModel}) than the outer one (${options.dModel}).`);
    this.dModel = options.dModel;
    this.inner = this.addModule(options.name ?? '', inner);
    if (extra > 0) this.pad = this.addParameter('pad_dimension', tf.zeros([extra])) as tf.Tensor as tf.Tensor1D;
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
    const wide = this.widen(x);
    return after(this.inner.prefill(wide, state, ctx), (out) => this.finish(wide, out));
  }

  step(x: tf.Tensor2D, state: S, rows?: readonly number[]): MaybePromise<{ y: tf.Tensor2D; state: S }> {
    const wide = this.widen(x);
    return after(this.inner.step(wide, state, rows), (out) => this.finish(wide, out));
  }

  startDocument(state: S, rows: readonly number[]): S {
    return this.inner.startDocument(state, rows);
  }

  private finish<T extends tf.Tensor>(wide: tf.Tensor, { y, state }: { y: T; state: S }): { y: T; state: S } {
    const narrow = this.narrow(y);
    tf.dispose([wide, y]);
    return { y: narrow, state };
  }

  private widen<T extends tf.Tensor>(x: T): T {
    if (!this.pad) return tf.clone(x);
    return tf.tidy(() => tf.concat([x, tf.add(tf.zeros([...x.shape.slice(0, -1), this.pad!.size]), this.pad!)], -1)) as T;
  }

  private narrow<T extends tf.Tensor>(y: T): T {
    if (!this.pad) return tf.clone(y);
    const begin = y.shape.map(() => 0);
    return tf.slice(y, begin, [...y.shape.slice(0, -1), this.dModel]) as T;
  }
}
