// Which rows the taps of a causal convolution read: one pointer a tap, to the input row, the history row, or a row of zeros.

import { at } from '../../../core/as/lib/elementwise';

/**
 * Writes the K row pointers of position t. @param ids documents of this batch row or 0 @param history (K-1, C) or 0 @param none what
 * stands for a row that is not there @param width K
 */
export function tapRows(t: i32, width: i32, x: usize, rowBytes: usize, ids: usize, history: usize, channels: i32, none: usize, rows: usize): void {
  const id = ids ? load<i32>(at(ids, t)) : 0;
  for (let k = 0; k < width; k++) {
    const from = t - width + 1 + k;
    let row = none;
    if (from >= 0) {
      if (!ids || load<i32>(at(ids, from)) == id) row = x + <usize>from * rowBytes;
    } else if (history && id == 0) {
      row = at(history, (from + width - 1) * channels);
    }
    store<usize>(rows + (<usize>k << 2), row);
  }
}

/** (C, K) -> (K, C), so that a tap's weights of adjacent channels are adjacent. */
export function tapMajor(weight: usize, channels: i32, width: i32, to: usize): void {
  for (let c = 0; c < channels; c++) for (let k = 0; k < width; k++) store<f32>(at(to, k * channels + c), load<f32>(at(weight, c * width + k)));
}
