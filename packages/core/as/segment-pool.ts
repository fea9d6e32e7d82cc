import { addRow, copyRow, load4, store4 } from './lib/rows';

const SUM: i32 = 0;
const MEAN: i32 = 1;
const MAX: i32 = 2;
const MIN: i32 = 3;
const FIRST: i32 = 4;
const LAST: i32 = 5;

/** End of the run of equal ids that begins at `start`. */
// @ts-ignore: decorator
@inline
function runEnd(start: i32, length: i32, ids: usize): i32 {
  const id = load<i32>(ids + (<usize>start << 2));
  let end = start + 1;
  while (end < length && load<i32>(ids + (<usize>end << 2)) == id) end++;
  return end;
}

function scaleRow(n: i32, factor: f32, x: usize, y: usize): void {
  const f = f32x4.splat(factor);
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    store4(y + at, f32x4.mul(load4(x + at, n - i), f), n - i);
  }
}

function extremeRow(n: i32, isMax: bool, x: usize, y: usize): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const p = load4(x + at, n - i);
    const q = load4(y + at, n - i);
    store4(y + at, isMax ? f32x4.max(p, q) : f32x4.min(p, q), n - i);
  }
}

/** One run of `rows` rows at x into the row y. */
function poolRun(rows: i32, width: i32, mode: i32, x: usize, y: usize): void {
  const bytes = <usize>width << 2;
  copyRow(width, mode == LAST ? x + <usize>(rows - 1) * bytes : x, y);
  if (mode == FIRST || mode == LAST) return;
  for (let r = 1; r < rows; r++) {
    x += bytes;
    if (mode == MAX || mode == MIN) extremeRow(width, mode == MAX, x, y);
    else addRow(width, x, y);
  }
  if (mode == MEAN) scaleRow(width, <f32>1 / <f32>rows, y, y);
}

/** dx of one run; max and min split dy evenly among the rows that equal y. */
function poolRunGrad(rows: i32, width: i32, mode: i32, x: usize, y: usize, dy: usize, dx: usize): void {
  const bytes = <usize>width << 2;
  if (mode == FIRST || mode == LAST) {
    copyRow(width, dy, mode == LAST ? dx + <usize>(rows - 1) * bytes : dx);
  } else if (mode == SUM || mode == MEAN) {
    const factor: f32 = mode == SUM ? 1 : <f32>1 / <f32>rows;
    for (let r = 0; r < rows; r++) scaleRow(width, factor, dy, dx + <usize>r * bytes);
  } else {
    for (let i = 0; i < width; i += 4) {
      const at = <usize>i << 2;
      const left = width - i;
      const best = load4(y + at, left);
      let ties = i32x4.splat(0);
      for (let r = 0; r < rows; r++) ties = i32x4.sub(ties, f32x4.eq(load4(x + <usize>r * bytes + at, left), best));
      const share = f32x4.div(load4(dy + at, left), f32x4.convert_i32x4_s(ties));
      for (let r = 0; r < rows; r++) {
        const p = <usize>r * bytes + at;
        store4(dx + p, v128.and(share, f32x4.eq(load4(x + p, left), best)), left);
      }
    }
  }
}

/** x (batch, length, width), ids (batch, length) in runs -> y (batch, num, width). */
export function segmentPool(batch: i32, length: i32, width: i32, num: i32, mode: i32, x: usize, ids: usize, y: usize): void {
  const bytes = <usize>width << 2;
  memory.fill(y, 0, <usize>(batch * num) * bytes);
  for (let b = 0; b < batch; b++) {
    for (let start = 0; start < length; ) {
      const end = runEnd(start, length, ids);
      const id = load<u32>(ids + (<usize>start << 2));
      if (id < <u32>num) poolRun(end - start, width, mode, x + <usize>start * bytes, y + <usize>id * bytes);
      start = end;
    }
    x += <usize>length * bytes;
    ids += <usize>length << 2;
    y += <usize>num * bytes;
  }
}

export function segmentPoolGrad(batch: i32, length: i32, width: i32, num: i32, mode: i32, x: usize, ids: usize, y: usize, dy: usize, dx: usize): void {
  const bytes = <usize>width << 2;
  memory.fill(dx, 0, <usize>(batch * length) * bytes);
  for (let b = 0; b < batch; b++) {
    for (let start = 0; start < length; ) {
      const end = runEnd(start, length, ids);
      const id = load<u32>(ids + (<usize>start << 2));
      const at = <usize>start * bytes;
      const to = <usize>id * bytes;
      if (id < <u32>num) poolRunGrad(end - start, width, mode, x + at, y + to, dy + to, dx + at);
      start = end;
    }
    x += <usize>length * bytes;
    dx += <usize>length * bytes;
    ids += <usize>length << 2;
    y += <usize>num * bytes;
    dy += <usize>num * bytes;
  }
}
