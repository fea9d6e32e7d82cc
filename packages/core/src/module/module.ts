import * as tf from '@tensorflow/tfjs-core';
import type { PackedWeight } from '../ops/packed.js';
import { asPacked, packedShape, packedWords, packsNow } from './weight-format.js';

/** Parameters by their published checkpoint name. A tied parameter appears under each of its names as the same object. */
export type ParameterMap = Map<string, tf.Variable>;

/** What every part of a model has: named parameters, and a way to free them. */
export interface HasParameters {
  /** @param prefix put in front of every name, with a dot. */
  parameters(prefix?: string): ParameterMap;
  dispose(): void;
}

export const joinName = (prefix: string, name: string): string => (prefix && name ? `${prefix}.${name}` : prefix || name);

/**
 * Base of layers and models: a flat map of parameters whose keys are the names in published checkpoints.
 * Subclasses call `addParameter` and `addModule` in their constructor; a module added under the name `''` lends its parameters
 * unprefixed.
 */
export abstract class Module implements HasParameters {
  private readonly own = new Map<string, tf.Variable>();
  private readonly children: [string, HasParameters][] = [];

  protected addParameter(name: string, value: tf.Tensor): tf.Variable {
    const variable = tf.variable(value, true);
    value.dispose();
    this.own.set(name, variable);
    return variable;
  }

  /**
   * A matrix of a linear map: as `withWeightFormat` says, packed or plain.
   * @param initial Without it zeros.
   */
  protected addMatrix(name: string, shape: [number, number], initial?: () => tf.Tensor): { variable: tf.Variable; packed: PackedWeight | undefined } {
    if (!packsNow(shape[1])) return { variable: this.addParameter(name, initial?.() ?? tf.zeros(shape)), packed: undefined };
    const words = packedWords(shape, initial?.());
    const variable = tf.variable(words, false);
    words.dispose();
    this.own.set(name, variable);
    return { variable, packed: asPacked(variable, shape) };
  }

  protected addModule<M extends HasParameters>(name: string, child: M): M {
    this.children.push([name, child]);
    return child;
  }

  /** Registers a parameter that another module owns, under a second name (tied weights). */
  protected tieParameter(name: string, variable: tf.Variable): tf.Variable {
    this.own.set(name, variable);
    return variable;
  }

  parameters(prefix = ''): ParameterMap {
    const all: ParameterMap = new Map();
    for (const [name, v] of this.own) all.set(joinName(prefix, name), v);
    for (const [name, child] of this.children) for (const [k, v] of child.parameters(joinName(prefix, name))) all.set(k, v);
    return all;
  }

  /** Number of distinct values, packed ones included. */
  get numParameters(): number {
    return [...new Set(this.parameters().values())].reduce((n, v) => n + v.size * (packedShape(v) ? 2 : 1), 0);
  }

  dispose(): void {
    for (const v of new Set(this.parameters().values())) if (!v.isDisposed) v.dispose();
    // Children may own more than parameters, e.g. rotary tables.
    for (const [, child] of this.children) (child as Partial<HasParameters>).dispose?.();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
