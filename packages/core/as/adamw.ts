// One AdamW update in place, and the sum of squares that gradient clipping needs.

/**
 * p, m, v, g: n floats each. `scale`: pointer to one float that multiplies g, or 0.
 * `keep` = 1 - lr*weightDecay, `rate` = lr / (1 - b1^t), `root` = 1 / sqrt(1 - b2^t).
 */
export function adamw(p: usize, m: usize, v: usize, g: usize, scale: usize, n: i32, keep: f32, b1: f32, b2: f32, rate: f32, root: f32, eps: f32): void {
  const s: f32 = scale ? load<f32>(scale) : 1;
  const c1: f32 = 1 - b1;
  const c2: f32 = 1 - b2;
  const S = f32x4.splat(s);
  const K = f32x4.splat(keep);
  const B1 = f32x4.splat(b1);
  const B2 = f32x4.splat(b2);
  const C1 = f32x4.splat(c1);
  const C2 = f32x4.splat(c2);
  const RATE = f32x4.splat(rate);
  const ROOT = f32x4.splat(root);
  const EPS = f32x4.splat(eps);
  const whole = n & ~3;
  let i = 0;
  for (; i < whole; i += 4) {
    const o = (<usize>i) << 2;
    const gs = f32x4.mul(v128.load(g + o), S);
    const m1 = f32x4.add(f32x4.mul(v128.load(m + o), B1), f32x4.mul(gs, C1));
    const v1 = f32x4.add(f32x4.mul(v128.load(v + o), B2), f32x4.mul(f32x4.mul(gs, gs), C2));
    const step = f32x4.div(f32x4.mul(m1, RATE), f32x4.add(f32x4.mul(f32x4.sqrt(v1), ROOT), EPS));
    v128.store(m + o, m1);
    v128.store(v + o, v1);
    v128.store(p + o, f32x4.sub(f32x4.mul(v128.load(p + o), K), step));
  }
  for (; i < n; i++) {
    const o = (<usize>i) << 2;
    const gs: f32 = load<f32>(g + o) * s;
    const m1: f32 = load<f32>(m + o) * b1 + gs * c1;
    const v1: f32 = load<f32>(v + o) * b2 + gs * gs * c2;
    store<f32>(m + o, m1);
    store<f32>(v + o, v1);
    store<f32>(p + o, load<f32>(p + o) * keep - (m1 * rate) / (sqrt<f32>(v1) * root + eps));
  }
}

/** out[0] = base[0] + sum of x squared (base may be 0), accumulated in float64. */
export function sumSquares(x: usize, base: usize, out: usize, n: i32): void {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  const whole = n & ~3;
  let i = 0;
  for (; i < whole; i += 4) {
    const a = v128.load(x + ((<usize>i) << 2));
    const l = f64x2.promote_low_f32x4(a);
    const h = f64x2.promote_low_f32x4(i32x4.shuffle(a, a, 2, 3, 0, 1));
    low = f64x2.add(low, f64x2.mul(l, l));
    high = f64x2.add(high, f64x2.mul(h, h));
  }
  low = f64x2.add(low, high);
  let sum: f64 = f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1);
  for (; i < n; i++) {
    const a: f64 = load<f32>(x + ((<usize>i) << 2));
    sum += a * a;
  }
  if (base) sum += load<f32>(base);
  store<f32>(out, <f32>sum);
}
