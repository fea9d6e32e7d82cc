/** Turns the first 2·half channels of one head; y may be x. `sign` −1 turns back. */
export function rotateHead(y: usize, x: usize, cos: usize, sin: usize, half: i32, interleaved: bool, sign: f32): void {
  const sign4 = f32x4.splat(sign);
  const body = half & ~3;
  if (interleaved) {
    for (let i = 0; i < body; i += 4) {
      const o = <usize>i << 2;
      const u = v128.load(x + (o << 1));
      const w = v128.load(x + (o << 1), 16);
      const a = v128.shuffle<f32>(u, w, 0, 2, 4, 6);
      const b = v128.shuffle<f32>(u, w, 1, 3, 5, 7);
      const c = v128.load(cos + o);
      const s = f32x4.mul(v128.load(sin + o), sign4);
      const first = f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s));
      const second = f32x4.add(f32x4.mul(a, s), f32x4.mul(b, c));
      v128.store(y + (o << 1), v128.shuffle<f32>(first, second, 0, 4, 1, 5));
      v128.store(y + (o << 1), v128.shuffle<f32>(first, second, 2, 6, 3, 7), 16);
    }
  } else {
    const far = <usize>half << 2;
    for (let i = 0; i < body; i += 4) {
      const o = <usize>i << 2;
      const a = v128.load(x + o);
      const b = v128.load(x + o + far);
      const c = v128.load(cos + o);
      const s = f32x4.mul(v128.load(sin + o), sign4);
      v128.store(y + o, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
      v128.store(y + o + far, f32x4.add(f32x4.mul(a, s), f32x4.mul(b, c)));
    }
  }
  for (let i = body; i < half; i++) {
    const near = <usize>(interleaved ? 2 * i : i) << 2;
    const far = <usize>(interleaved ? 2 * i + 1 : i + half) << 2;
    const a = load<f32>(x + near);
    const b = load<f32>(x + far);
    const c = load<f32>(cos + (<usize>i << 2));
    const s = load<f32>(sin + (<usize>i << 2)) * sign;
    store<f32>(y + near, a * c - b * s);
    store<f32>(y + far, a * s + b * c);
  }
}
