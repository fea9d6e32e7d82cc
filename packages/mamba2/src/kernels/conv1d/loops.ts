import { hostOutput, type HostArray, type Loops } from '@bytelm/core';
import { convGradOutputs, type ConvAttrs, type ConvGradInput, type ConvInput } from './attrs.js';

// The definition as plain loops: the kernel of the `cpu` backend.

type Inputs = { [K in ConvInput]?: HostArray };

/** Sizes, and where each tap of a position reads: an index into x, into the history, or nothing. */
function taps(i: Inputs) {
  const [batch, length, channels] = i.x!.shape as [number, number, number];
  const width = i.weight!.shape[1]!;
  const idAt = (b: number, t: number) => (i.documentIds ? i.documentIds.values[b * length + t]! : 0);
  /** Calls `visit(k, index, inHistory)` for every tap of position t that reads something; indices are those of channel 0. */
  const each = (b: number, t: number, visit: (k: number, index: number, inHistory: boolean) => void) => {
    for (let k = 0; k < width; k++) {
      const from = t - width + 1 + k;
      if (from >= 0) {
        if (idAt(b, from) === idAt(b, t)) visit(k, (b * length + from) * channels, false);
      } else if (i.initialState && idAt(b, t) === 0) visit(k, (b * (width - 1) + from + width - 1) * channels, true);
    }
  };
  /** Where row r of the last state of batch row b comes from; positions below 0 are in the history. */
  const lastFrom = (b: number, r: number) => (i.lengths ? i.lengths.values[b]! : length) - width + 1 + r;
  return { batch, length, channels, width, each, lastFrom };
}

function preActivation(i: Inputs, { channels, width, each }: ReturnType<typeof taps>, b: number, t: number): Float64Array {
  const pre = i.bias ? Float64Array.from(i.bias.values) : new Float64Array(channels);
  each(b, t, (k, index, inHistory) => {
    const source = (inHistory ? i.initialState! : i.x!).values;
    for (let c = 0; c < channels; c++) pre[c]! += i.weight!.values[c * width + k]! * source[index + c]!;
  });
  return pre;
}

export const convLoops: Loops<ConvInput, ConvAttrs> = (i, attrs) => {
  const t_ = taps(i);
  const { batch, length, channels, width, lastFrom } = t_;
  const y = hostOutput(i.x!.shape);
  const last = hostOutput([batch, width - 1, channels]);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      const pre = preActivation(i, t_, b, t);
      y.values.set(attrs.silu ? pre.map((v) => v / (1 + Math.exp(-v))) : pre, (b * length + t) * channels);
    }
    for (let r = 0; r < width - 1; r++) {
      const from = lastFrom(b, r);
      const source = from >= 0 ? i.x! : i.initialState;
      const start = (from >= 0 ? b * length + from : b * (width - 1) + from + width - 1) * channels;
      if (source) last.values.set(source.values.subarray(start, start + channels), (b * (width - 1) + r) * channels);
    }
  }
  return attrs.returnState ? [y, last] : [y];
};

export const convGradLoops: Loops<ConvGradInput, ConvAttrs> = (i, attrs) => {
  const t_ = taps(i);
  const { batch, length, channels, width, each, lastFrom } = t_;
  const names = convGradOutputs((n) => i[n] !== undefined);
  const grads = Object.fromEntries(names.map((n) => [n, hostOutput(i[n]!.shape)])) as Record<ConvInput, ReturnType<typeof hostOutput>>;
  const [dx, dWeight, dBias, dHistory] = [grads.x.values, grads.weight.values, grads.bias?.values, grads.initialState?.values];
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      const d = Float64Array.from(i.dy!.values.subarray((b * length + t) * channels, (b * length + t + 1) * channels));
      if (attrs.silu) {
        preActivation(i, t_, b, t).forEach((v, c) => {
          const s = 1 / (1 + Math.exp(-v));
          d[c]! *= s * (1 + v * (1 - s));
        });
      }
      if (dBias) for (let c = 0; c < channels; c++) dBias[c]! += d[c]!;
      each(b, t, (k, index, inHistory) => {
        const [source, target] = inHistory ? [i.initialState!.values, dHistory!] : [i.x!.values, dx];
        for (let c = 0; c < channels; c++) {
          target[index + c]! += i.weight!.values[c * width + k]! * d[c]!;
          dWeight[c * width + k]! += source[index + c]! * d[c]!;
        }
      });
    }
    for (let r = 0; i.dState && r < width - 1; r++) {
      const from = lastFrom(b, r);
      const target = from >= 0 ? dx : dHistory;
      const start = (from >= 0 ? b * length + from : b * (width - 1) + from + width - 1) * channels;
      for (let c = 0; target && c < channels; c++) target[start + c]! += i.dState.values[(b * (width - 1) + r) * channels + c]!;
    }
  }
  return names.map((n) => grads[n]);
};
