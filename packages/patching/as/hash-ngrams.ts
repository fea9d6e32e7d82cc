// Buckets of rolling n-gram hashes: wrapping 64-bit arithmetic is what wasm has.

/**
 * ids (batch, length) -> y (functions * sizes, batch, length - history).
 * @param primes one u64 a function. @param slots by n-gram length 0..most: its place among the sizes, or -1.
 */
export function hashNgrams(
  batch: i32, length: i32, history: i32, functions: i32, sizes: i32, most: i32, vocabulary: i32, primes: usize, slots: usize, ids: usize, y: usize,
): void {
  const out = length - history;
  const table = <usize>(batch * out) << 2;
  const V = <i64>vocabulary;
  for (let f = 0; f < functions; f++) {
    const a = load<u64>(primes + (<usize>f << 3));
    for (let b = 0; b < batch; b++) {
      const row = ids + (<usize>(b * length) << 2);
      for (let t = history; t < length; t++) {
        const to = y + (<usize>(b * out + t - history) << 2);
        let h: u64 = 0;
        for (let n = 1; n <= most; n++) {
          const i = t - n + 1;
          h *= a;
          if (i >= 0) h += <u64>load<u32>(row + (<usize>i << 2));
          const slot = load<i32>(slots + (<usize>n << 2));
          if (slot < 0) continue;
          let r = <i64>h % V;
          if (r < 0) r += V;
          store<i32>(to + <usize>slot * table, <i32>r);
        }
      }
    }
    y += <usize>sizes * table;
  }
}
