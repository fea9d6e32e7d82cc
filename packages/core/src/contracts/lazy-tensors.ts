import * as tf from '@tensorflow/tfjs-core';

/** Tensors that are made on first use and live, past any `tidy`, until they are freed together. */
export class LazyTensors {
  private readonly made = new Map<string, tf.Tensor>();

  /** The tensor of this name; made anew where it is not there or somebody freed it. */
  get(name: string, create: () => tf.Tensor): tf.Tensor {
    let t = this.made.get(name);
    if (!t || t.isDisposed) this.made.set(name, (t = tf.keep(create())));
    return t;
  }

  dispose(): void {
    for (const t of this.made.values()) if (!t.isDisposed) t.dispose();
    this.made.clear();
  }
}
