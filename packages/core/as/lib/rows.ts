/** Loads and stores of rows whose length need not be a multiple of 4: `left` is how many floats remain. */

function loadPart(p: usize, left: i32, fill: f32): v128 {
  let v = f32x4.splat(fill);
  v = f32x4.replace_lane(v, 0, load<f32>(p));
  if (left > 1) v = f32x4.replace_lane(v, 1, load<f32>(p, 4));
  if (left > 2) v = f32x4.replace_lane(v, 2, load<f32>(p, 8));
  return v;
}

function storePart(p: usize, v: v128, left: i32): void {
  store<f32>(p, f32x4.extract_lane(v, 0));
  if (left > 1) store<f32>(p, f32x4.extract_lane(v, 1), 4);
  if (left > 2) store<f32>(p, f32x4.extract_lane(v, 2), 8);
}

/** Four floats, or the last `left` of a row and zeros. */
// @ts-ignore: decorator
@inline
export function load4(p: usize, left: i32): v128 {
  return left >= 4 ? v128.load(p) : loadPart(p, left, 0);
}

/** Four floats, or the last `left` of a row and `fill`. */
// @ts-ignore: decorator
@inline
export function load4Or(p: usize, left: i32, fill: f32): v128 {
  return left >= 4 ? v128.load(p) : loadPart(p, left, fill);
}

// @ts-ignore: decorator
@inline
export function store4(p: usize, v: v128, left: i32): void {
  if (left >= 4) v128.store(p, v);
  else storePart(p, v, left);
}

/** to[i] = from[i], n floats; short rows stay out of the call that memory.copy is. */
export function copyRow(n: i32, from: usize, to: usize): void {
  if (n > 64) {
    memory.copy(to, from, <usize>n << 2);
    return;
  }
  for (let i = 0; i < n; i += 4) {
    store4(to, load4(from, n - i), n - i);
    from += 16;
    to += 16;
  }
}

/** to[i] += from[i], n floats. */
export function addRow(n: i32, from: usize, to: usize): void {
  for (let i = 0; i < n; i += 4) {
    const left = n - i;
    store4(to, f32x4.add(load4(to, left), load4(from, left)), left);
    from += 16;
    to += 16;
  }
}

// @ts-ignore: decorator
@inline
export function zeroRow(n: i32, to: usize): void {
  memory.fill(to, 0, <usize>n << 2);
}
