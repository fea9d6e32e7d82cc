import { at } from '../../core/as/lib/elementwise';
import { sigmoid1, sigmoid4, silu1, silu4, siluSlope1, siluSlope4 } from '../../core/as/lib/vec';
import { tapMajor, tapRows } from './lib/taps';

/** Floats of scratch: weights and their gradient by tap, two rows, pointers of the taps. */
export function convScratch(channels: i32, width: i32): i32 {
  return (2 * width + 2) * channels + 2 * width + 8;
}

/** The sum of the taps for four adjacent channels (byte offset o of a row). */
// @ts-ignore: decorator
@inline
function preActivation4(o: usize, width: i32, rowBytes: usize, rows: usize, taps: usize, bias: usize): v128 {
  let sum = bias ? v128.load(bias + o) : f32x4.splat(0);
  let w = taps + o;
  for (let k = 0; k < width; k++) {
    sum = f32x4.add(sum, f32x4.mul(v128.load(w), v128.load(load<usize>(rows + (<usize>k << 2)) + o)));
    w += rowBytes;
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function preActivation1(o: usize, width: i32, rowBytes: usize, rows: usize, taps: usize, bias: usize): f32 {
  let sum: f32 = bias ? load<f32>(bias + o) : 0;
  let w = taps + o;
  for (let k = 0; k < width; k++) {
    sum += load<f32>(w) * load<f32>(load<usize>(rows + (<usize>k << 2)) + o);
    w += rowBytes;
  }
  return sum;
}

/**
 * Causal depthwise convolution (kernels.md section 2). x, y (B, L, C); weight (C, K). 0 = not given: bias (C), history (B, K-1, C),
 * ids (B, L), lengths (B), last (B, K-1, C) output.
 */
export function conv1d(
  x: usize, weight: usize, bias: usize, history: usize, ids: usize, lengths: usize, y: usize, last: usize,
  batch: i32, length: i32, channels: i32, width: i32, silu: bool, scratch: usize,
): void {
  const rowBytes = <usize>channels << 2;
  const taps = scratch;
  const zeros = at(taps, width * channels);
  const rows = at(zeros, channels);
  tapMajor(weight, channels, width, taps);
  memory.fill(zeros, 0, rowBytes);
  const body = <usize>(channels & ~3) << 2;
  for (let b = 0; b < batch; b++) {
    const xb = at(x, b * length * channels);
    const hb = history ? at(history, b * (width - 1) * channels) : 0;
    const ib = ids ? at(ids, b * length) : 0;
    for (let t = 0; t < length; t++) {
      tapRows(t, width, xb, rowBytes, ib, hb, channels, zeros, rows);
      const out = at(y, (b * length + t) * channels);
      let o: usize = 0;
      if (width == 4) {
        const r0 = load<usize>(rows), r1 = load<usize>(rows, 4), r2 = load<usize>(rows, 8), r3 = load<usize>(rows, 12);
        const w1 = taps + rowBytes, w2 = w1 + rowBytes, w3 = w2 + rowBytes;
        for (; o < body; o += 16) {
          const s = f32x4.add(f32x4.mul(v128.load(taps + o), v128.load(r0 + o)), f32x4.mul(v128.load(w1 + o), v128.load(r1 + o)));
          const u = f32x4.add(f32x4.mul(v128.load(w2 + o), v128.load(r2 + o)), f32x4.mul(v128.load(w3 + o), v128.load(r3 + o)));
          let pre = f32x4.add(s, u);
          if (bias) pre = f32x4.add(pre, v128.load(bias + o));
          v128.store(out + o, silu ? silu4(pre) : pre);
        }
      } else {
        for (; o < body; o += 16) {
          const pre = preActivation4(o, width, rowBytes, rows, taps, bias);
          v128.store(out + o, silu ? silu4(pre) : pre);
        }
      }
      for (; o < rowBytes; o += 4) {
        const pre = preActivation1(o, width, rowBytes, rows, taps, bias);
        store<f32>(out + o, silu ? silu1(pre) : pre);
      }
    }
    if (last) {
      const end = lengths ? load<i32>(at(lengths, b)) : length;
      for (let i = 0; i < width - 1; i++) {
        const from = end - width + 1 + i;
        const to = at(last, (b * (width - 1) + i) * channels);
        if (from >= 0) memory.copy(to, xb + <usize>from * rowBytes, rowBytes);
        else if (hb) memory.copy(to, at(hb, (from + width - 1) * channels), rowBytes);
        else memory.fill(to, 0, rowBytes);
      }
    }
  }
}

/** y += x, n bytes of floats. */
function addRow(x: usize, y: usize, bytes: usize): void {
  for (let o: usize = 0; o < bytes; o += 4) store<f32>(y + o, load<f32>(y + o) + load<f32>(x + o));
}

/** Gradients of `conv1d`; dLast (B, K-1, C) or 0; dBias and dHistory are written where bias and history are given. */
export function conv1dGrad(
  x: usize, weight: usize, bias: usize, history: usize, ids: usize, lengths: usize, dy: usize, dLast: usize,
  dx: usize, dWeight: usize, dBias: usize, dHistory: usize,
  batch: i32, length: i32, channels: i32, width: i32, silu: bool, scratch: usize,
): void {
  const rowBytes = <usize>channels << 2;
  const taps = scratch;
  const dTaps = at(taps, width * channels);
  const zeros = at(dTaps, width * channels);
  // Where gradients of rows that do not exist go; never read.
  const discard = at(zeros, channels);
  const rows = at(discard, channels);
  const dRows = at(rows, width);
  tapMajor(weight, channels, width, taps);
  memory.fill(dTaps, 0, <usize>width * rowBytes);
  memory.fill(zeros, 0, 2 * rowBytes);
  memory.fill(dx, 0, <usize>(batch * length) * rowBytes);
  if (dBias) memory.fill(dBias, 0, rowBytes);
  if (dHistory) memory.fill(dHistory, 0, <usize>(batch * (width - 1)) * rowBytes);
  const body = <usize>(channels & ~3) << 2;
  for (let b = 0; b < batch; b++) {
    const first = b * length * channels;
    const firstHistory = b * (width - 1) * channels;
    const ib = ids ? at(ids, b * length) : 0;
    for (let t = 0; t < length; t++) {
      tapRows(t, width, at(x, first), rowBytes, ib, history ? at(history, firstHistory) : 0, channels, zeros, rows);
      tapRows(t, width, at(dx, first), rowBytes, ib, dHistory ? at(dHistory, firstHistory) : 0, channels, discard, dRows);
      const dOut = at(dy, (b * length + t) * channels);
      let o: usize = 0;
      for (; o < body; o += 16) {
        let d = v128.load(dOut + o);
        if (silu) {
          const pre = preActivation4(o, width, rowBytes, rows, taps, bias);
          d = f32x4.mul(d, siluSlope4(pre, sigmoid4(pre)));
        }
        if (dBias) v128.store(dBias + o, f32x4.add(v128.load(dBias + o), d));
        let w = o;
        for (let k = 0; k < width; k++) {
          const from = load<usize>(rows + (<usize>k << 2)) + o;
          const to = load<usize>(dRows + (<usize>k << 2)) + o;
          v128.store(to, f32x4.add(v128.load(to), f32x4.mul(d, v128.load(taps + w))));
          v128.store(dTaps + w, f32x4.add(v128.load(dTaps + w), f32x4.mul(d, v128.load(from))));
          w += rowBytes;
        }
      }
      for (; o < rowBytes; o += 4) {
        let d = load<f32>(dOut + o);
        if (silu) {
          const pre = preActivation1(o, width, rowBytes, rows, taps, bias);
          d *= siluSlope1(pre, sigmoid1(pre));
        }
        if (dBias) store<f32>(dBias + o, load<f32>(dBias + o) + d);
        let w = o;
        for (let k = 0; k < width; k++) {
          const from = load<usize>(rows + (<usize>k << 2)) + o;
          const to = load<usize>(dRows + (<usize>k << 2)) + o;
          store<f32>(to, load<f32>(to) + d * load<f32>(taps + w));
          store<f32>(dTaps + w, load<f32>(dTaps + w) + d * load<f32>(from));
          w += rowBytes;
        }
      }
    }
    if (dLast) {
      const end = lengths ? load<i32>(at(lengths, b)) : length;
      for (let i = 0; i < width - 1; i++) {
        const from = end - width + 1 + i;
        const d = at(dLast, (b * (width - 1) + i) * channels);
        if (from >= 0) addRow(d, at(dx, first + from * channels), rowBytes);
        else if (dHistory) addRow(d, at(dHistory, firstHistory + (from + width - 1) * channels), rowBytes);
      }
    }
  }
  for (let c = 0; c < channels; c++) for (let k = 0; k < width; k++) store<f32>(at(dWeight, c * width + k), load<f32>(at(dTaps, k * channels + c)));
}
