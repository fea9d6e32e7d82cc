/**
 * Calls `f` with every item in order, with `n` of the calls under way at a time.
 * @template T
 * @param {number} n @param {readonly T[]} items @param {(item: T) => unknown} f
 */
export async function atATime(n, items, f) {
  const rest = items.values();
  const lane = async () => {
    for (const item of rest) await f(item);
  };
  await Promise.all(Array.from({ length: n }, lane));
}
