import type * as tf from '@tensorflow/tfjs-core';
import { disposeState } from '../state.js';

/** What the rows of a step on the device do: masks in its memory, since the host knows nothing of it yet. Tensors are (B) int32. */
export interface DeviceRows {
  /** 1 where the row takes part. The states of other rows stay as they are, and what comes out of them is undefined. Default: all do. */
  active?: tf.Tensor1D | undefined;
  /** 1 where this position is the first of a document: nothing from before it is seen. Default: none is. */
  fresh?: tf.Tensor1D | undefined;
  /** For chunkers that read ids. */
  ids?: tf.Tensor1D | undefined;
  /** Of the model's head (`ByteHead.boundaryFrom`): ids from this one on say that a chunk ends, for chunkers that cannot decide without what follows. */
  boundaryFrom?: number | undefined;
  /** Stages append their boundaries, outermost first: what `firedByStage` tells of other steps. */
  boundaries?: tf.Tensor1D[] | undefined;
}

/**
 * Steps of a module that ask nothing of the host, so that they can be recorded once and replayed (`recordStep`, on webgpu): ids, positions,
 * document starts and boundaries are tensors. Every row is stepped; `DeviceRows` says which of them count.
 *
 * Unlike the states of `step` those of steps on the device are **changed in place** and keep their tensors: a recording refers to them.
 */
export interface OnDevice<X, Y, S = any, D = any> {
  /** Whether it can, for so many rows and with the weights as they are kept. */
  canStep(batchSize: number): boolean;
  /** The state for these steps, with room for `room` more positions of each row. Consumes `state`. Free it with `disposeState`. */
  begin(state: S, room: number): D;
  /** Room for `room` positions more than there was for. Consumes `state`; recordings that refer to it are void. */
  extend(state: D, room: number): D;
  /** One position of every row, inside of `tf.tidy`. */
  step(x: X, state: D, rows: DeviceRows): Y;
  /** Of decoders that attend to the main network's outputs: takes those of the active rows, (B, Dg), as in `SequenceModel`. */
  remember?(chunks: tf.Tensor2D, state: D, rows: DeviceRows): void;
}

/** What a chunker decided on the device. */
export interface DeviceDecision {
  /** (B) int32, 1 where the main network takes a step now; 0 in rows that are not active. */
  boundary: tf.Tensor1D;
  /** (B) float32, from learned chunkers. */
  prob?: tf.Tensor1D | undefined;
}

/** What an upsampler steps on: the main network's outputs, of which only rows with a boundary count, and the encoder's. */
export interface DeviceUpsamplerInput {
  /** (B, Dg) */
  main: tf.Tensor2D;
  /** (B, D) */
  encoded: tf.Tensor2D;
  decision: DeviceDecision;
}

/** For modules that carry nothing from position to position. */
export function withoutState<X, Y>(step: (x: X, rows: DeviceRows) => Y): OnDevice<X, Y, null, null> {
  return { canStep: () => true, begin: () => null, extend: () => null, step: (x, _, rows) => step(x, rows) };
}

/**
 * Steps of a module made of parts, whose state has an entry for each of them by the same name; other entries are not needed any more.
 * `undefined` where a part cannot step on the device.
 */
export function joinOnDevice<K extends string, X, Y>(
  parts: { readonly [name in K]: OnDevice<any, any> | undefined },
  step: (x: X, state: { [name in K]: any }, rows: DeviceRows) => Y,
): OnDevice<X, Y> | undefined {
  const names = Object.keys(parts) as K[];
  if (names.some((name) => !parts[name])) return undefined;
  const each = (f: (part: OnDevice<any, any>, name: K) => unknown) => Object.fromEntries(names.map((name) => [name, f(parts[name]!, name)])) as { [name in K]: any };
  return {
    canStep: (batchSize) => names.every((name) => parts[name]!.canStep(batchSize)),
    begin(state, room) {
      for (const [name, entry] of Object.entries(state)) if (!(name in parts)) disposeState(entry);
      return each((part, name) => part.begin(state[name], room));
    },
    extend: (state, room) => each((part, name) => part.extend(state[name], room)),
    step,
  };
}
