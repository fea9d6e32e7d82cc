// Cache lines of 64 bytes. A vector that lies across two of them costs twice, and products read their short operand again and again.

/** So many floats, rounded up to whole lines. */
// @ts-ignore: decorator
@inline
export function lines(floats: i32): i32 {
  return (floats + 15) & ~15;
}

/** The first line that begins at p or behind it. */
// @ts-ignore: decorator
@inline
export function lineAt(p: usize): usize {
  return (p + 63) & ~(<usize>63);
}
