/**
 * Mean number of keys that causal attention sees at positions from..to, for counting FLOPs; fractions of a position are fine.
 * @param keys Seen at most, the own position included. Default: all before.
 */
export function meanKeys(from: number, to: number, keys = Infinity): number {
  const total = (n: number) => (n <= keys ? (n * (n + 1)) / 2 : (keys * (keys + 1)) / 2 + (n - keys) * keys);
  return (total(to) - total(from)) / (to - from);
}
