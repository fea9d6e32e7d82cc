import { rotateHead } from './lib/rotate';

/**
 * y = x (B, T, H, D) with every head turned by the table row of its position.
 *
 * @param cos, sin (P, half) tables. @param positions (B, T) i32 table rows; 0 = offset + index
 */
export function rotary(
  y: usize, x: usize, cos: usize, sin: usize, positions: usize,
  batch: i32, length: i32, heads: i32, dim: i32, half: i32, interleaved: bool, sign: f32, offset: i32,
): void {
  const rest = <usize>(dim - 2 * half) << 2;
  const turned = <usize>half << 3;
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < length; t++) {
      const row = positions ? load<i32>(positions + (<usize>(b * length + t) << 2)) : offset + t;
      const at = <usize>(row * half) << 2;
      for (let h = 0; h < heads; h++) {
        rotateHead(y, x, cos + at, sin + at, half, interleaved, sign);
        if (rest) memory.copy(y + turned, x + turned, rest);
        y += <usize>dim << 2;
        x += <usize>dim << 2;
      }
    }
  }
}
