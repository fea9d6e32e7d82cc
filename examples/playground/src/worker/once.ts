/** `make` runs at the first call and its result is kept; after a failure, a fetch without a network say, the next call tries again. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let kept: Promise<T> | undefined;
  return () => {
    if (!kept) {
      const started = (kept = make());
      started.catch(() => (kept = undefined));
    }
    return kept;
  };
}
