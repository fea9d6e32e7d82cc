/**
 * The first Ctrl-C (or SIGTERM) asks for a clean stop; the listeners are then gone, so the second one ends the process at once.
 * @param onStop Called at the first one.
 */
export function stopSignal(onStop: () => void): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const release = () => {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  };
  const stop = () => {
    release();
    onStop();
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return { signal: controller.signal, release };
}

/** Lets signals and other events through: a backend that computes on this thread would else keep them waiting for ever. */
export const breathe = (): Promise<void> => new Promise((done) => setImmediate(done));
