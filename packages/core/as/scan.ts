import { copyRow, load4, store4, zeroRow } from './lib/rows';
import { hsum4 } from './lib/vec';

/** y = a h + b for one step; `a` is one float (`isShared`) or a row. */
// @ts-ignore: decorator
@inline
function step(width: i32, isShared: bool, a: usize, h: usize, b: usize, y: usize): void {
  const shared = v128.load32_splat(a);
  for (let i = 0; i < width; i += 4) {
    const at = <usize>i << 2;
    const left = width - i;
    const factor = isShared ? shared : load4(a + at, left);
    store4(y + at, f32x4.add(f32x4.mul(factor, load4(h + at, left)), load4(b + at, left)), left);
  }
}

/**
 * h_t = a_t h_{t-1} + b_t: time outside, channels inside, so the last row of h is in cache. `lengths` (B), `ids` (B, L), h0 (B, D): 0 = none.
 * Backwards in time with `reverse`.
 */
export function scan(
  batch: i32, length: i32, width: i32, isShared: bool, reverse: bool,
  b: usize, a: usize, h0: usize, lengths: usize, ids: usize,
  y: usize, final: usize,
): void {
  const row = <usize>width << 2;
  const factorRow: usize = isShared ? 4 : row;
  for (let n = 0; n < batch; n++) {
    if (h0) copyRow(width, h0 + <usize>n * row, final);
    else zeroRow(width, final);
    const runs = lengths ? load<i32>(lengths + (<usize>n << 2)) : length;
    let h = final;
    for (let i = 0; i < length; i++) {
      const t = reverse ? length - 1 - i : i;
      const to = y + <usize>t * row;
      const from = b + <usize>t * row;
      const previous = reverse ? t + 1 : t - 1;
      if (t >= runs) copyRow(width, h, to);
      else if (ids && i > 0 && load<i32>(ids + (<usize>t << 2)) != load<i32>(ids + (<usize>previous << 2))) copyRow(width, from, to);
      else step(width, isShared, a + <usize>t * factorRow, h, from, to);
      h = to;
    }
    if (length > 0) copyRow(width, h, final);
    b += <usize>length * row;
    y += <usize>length * row;
    a += <usize>length * factorRow;
    ids += ids ? <usize>length << 2 : 0;
    final += row;
  }
}

/** One step back: g = carry + dy, db = g, carry = a g; da = g h per channel, or its sum is returned (`isShared`). h = 0: no state before. */
// @ts-ignore: decorator
@inline
function stepBack(width: i32, isShared: bool, a: usize, h: usize, dy: usize, carry: usize, db: usize, da: usize): void {
  const shared = v128.load32_splat(a);
  let sum = f32x4.splat(0);
  for (let i = 0; i < width; i += 4) {
    const at = <usize>i << 2;
    const left = width - i;
    const g = f32x4.add(load4(carry + at, left), load4(dy + at, left));
    const product = h ? f32x4.mul(g, load4(h + at, left)) : f32x4.splat(0);
    const factor = isShared ? shared : load4(a + at, left);
    store4(db + at, g, left);
    store4(carry + at, f32x4.mul(factor, g), left);
    if (isShared) sum = f32x4.add(sum, product);
    else store4(da + at, product, left);
  }
  if (isShared) store<f32>(da, hsum4(sum));
}

/** db, da, dh0 of `scan` from its states y. */
export function scanGrad(
  batch: i32, length: i32, width: i32, isShared: bool, reverse: bool,
  a: usize, y: usize, h0: usize, lengths: usize, ids: usize, dy: usize, dfinal: usize,
  db: usize, da: usize, dh0: usize,
): void {
  const row = <usize>width << 2;
  const factorWidth = isShared ? 1 : width;
  const factorRow = <usize>factorWidth << 2;
  for (let n = 0; n < batch; n++) {
    copyRow(width, dfinal, dh0);
    const runs = lengths ? load<i32>(lengths + (<usize>n << 2)) : length;
    for (let i = length - 1; i >= 0; i--) {
      const t = reverse ? length - 1 - i : i;
      const at = <usize>t * row;
      const factor = <usize>t * factorRow;
      const previous = reverse ? t + 1 : t - 1;
      if (t >= runs) {
        zeroRow(width, db + at);
        zeroRow(factorWidth, da + factor);
        for (let d = 0; d < width; d += 4) {
          const p = <usize>d << 2;
          store4(dh0 + p, f32x4.add(load4(dh0 + p, width - d), load4(dy + at + p, width - d)), width - d);
        }
        continue;
      }
      const isStart = ids != 0 && i > 0 && load<i32>(ids + (<usize>t << 2)) != load<i32>(ids + (<usize>previous << 2));
      const before = isStart ? 0 : i > 0 ? y + <usize>previous * row : h0;
      stepBack(width, isShared, a + factor, before, dy + at, dh0, db + at, da + factor);
      if (isStart) zeroRow(width, dh0);
    }
    a += <usize>length * factorRow;
    da += <usize>length * factorRow;
    y += <usize>length * row;
    dy += <usize>length * row;
    db += <usize>length * row;
    ids += ids ? <usize>length << 2 : 0;
    h0 += h0 ? row : 0;
    dfinal += row;
    dh0 += row;
  }
}
