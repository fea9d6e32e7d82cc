// Plain loops over adjacent floats, and over rows of them.

import { hsum4 } from './vec';

/** Byte offset of float i. */
// @ts-ignore: decorator
@inline
export function at(base: usize, i: i32): usize {
  return base + (<usize>i << 2);
}

/** to[t, :] = f[t] (* g[t]) from[t, :], q rows of `width`; rows of `to` are adjacent. @param g or 0 */
export function scaleRows(q: i32, width: i32, from: usize, stride: i32, f: usize, g: usize, to: usize): void {
  for (let t = 0; t < q; t++) {
    let v = load<f32>(at(f, t));
    if (g) v *= load<f32>(at(g, t));
    const v4 = f32x4.splat(v);
    let x = at(from, t * stride);
    let i = 0;
    for (; i + 4 <= width; i += 4) {
      v128.store(to, f32x4.mul(v4, v128.load(x)));
      x += 16;
      to += 16;
    }
    for (; i < width; i++) {
      store<f32>(to, v * load<f32>(x));
      x += 4;
      to += 4;
    }
  }
}

/** x[0..n) *= f. */
export function scaleInPlace(n: i32, f: f32, x: usize): void {
  const f4 = f32x4.splat(f);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    v128.store(x, f32x4.mul(f4, v128.load(x)));
    x += 16;
  }
  for (; i < n; i++) {
    store<f32>(x, f * load<f32>(x));
    x += 4;
  }
}

/** z[i] = x[i] y[i]. */
export function multiply(n: i32, x: usize, y: usize, z: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(at(z, i), f32x4.mul(v128.load(at(x, i)), v128.load(at(y, i))));
  for (; i < n; i++) store<f32>(at(z, i), load<f32>(at(x, i)) * load<f32>(at(y, i)));
}

/** y[i] += x[i]. */
export function addTo(n: i32, x: usize, y: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(at(y, i), f32x4.add(v128.load(at(y, i)), v128.load(at(x, i))));
  for (; i < n; i++) store<f32>(at(y, i), load<f32>(at(y, i)) + load<f32>(at(x, i)));
}

/** Sum of x[0..n). */
export function sum(n: i32, x: usize): f32 {
  let v = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= n; i += 4) v = f32x4.add(v, v128.load(at(x, i)));
  let total = hsum4(v);
  for (; i < n; i++) total += load<f32>(at(x, i));
  return total;
}
