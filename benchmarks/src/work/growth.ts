import * as tf from '@tensorflow/tfjs-core';
import { disposeState, Rng, SequenceContext } from '@bytelm/core';
import { createHNet, HNET_PRESETS } from '@bytelm/example-hnet';
import { AdamW } from '@bytelm/core/train';
import { median } from '../stats.js';
import type { GrowthSettings } from '../worker.js';

/** Text-like ids that need no file: words of letters with blanks between them. */
export function wordyIds(length: number): Int32Array {
  const rng = new Rng(7);
  let left = 0;
  return Int32Array.from({ length }, () => {
    if (left-- > 0) return 97 + Math.floor(26 * rng.next() ** 2);
    left = 2 + Math.floor(6 * rng.next());
    return 32;
  });
}

const presetModel = (name: string) => {
  const { config, ratioTargets } = HNET_PRESETS[name]!;
  return createHNet(config, { ratioTargets, rng: new Rng(1) });
};

export interface ContextPoint {
  /** Positions already seen. */
  context: number;
  msPerByte: number;
}

/** Median time of a decoding step at growing context: each point over 128 steps. */
export async function stepsByContext({ preset, length }: GrowthSettings): Promise<ContextPoint[]> {
  const model = presetModel(preset);
  const ids = wordyIds(length + 256);
  const points: ContextPoint[] = [];
  const stride = 256;
  let state = model.initState(1);
  for (let at = 0; at < length; ) {
    // Most of the way in pieces, the rest byte by byte: what is measured is the step.
    const spent: number[] = [];
    for (let i = 0; i < 128; i++, at++) {
      const start = performance.now();
      const out = await model.step(ids.subarray(at, at + 1), state);
      state = out.state;
      await out.logits.data();
      out.logits.dispose();
      spent.push(performance.now() - start);
    }
    points.push({ context: at - 64, msPerByte: median(spent) });
    const skip = Math.min(stride - 128, length - at);
    if (skip > 0) {
      const piece = ids.slice(at, at + skip);
      const read = await model.prefill(piece, state, new SequenceContext(1, skip, { ids: piece }));
      read.logits.dispose();
      state = read.state;
      at += skip;
    }
  }
  disposeState(state);
  model.dispose();
  return points;
}

/** Three training steps on one row of `length` bytes; the process's peak memory is the result. */
export async function memoryOfTraining({ preset, length }: GrowthSettings): Promise<{ length: number; loss: number }> {
  const model = presetModel(preset);
  const optimizer = new AdamW([{ params: model.parameters() }]);
  let loss = NaN;
  for (let i = 0; i < 3; i++) {
    const out = await model.lossAndGrads({ ids: wordyIds(length + 1), batch: 1, length: length + 1 });
    optimizer.apply(out.grads, { lr: 1e-6 });
    loss = (await out.loss.data())[0]!;
    tf.dispose([out.loss, ...Object.values(out.parts).filter((p) => typeof p !== 'number'), ...out.grads.values()]);
  }
  return { length, loss };
}
