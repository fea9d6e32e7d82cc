import * as tf from '@tensorflow/tfjs-core';
import { matMul } from '@bytelm/core';
import { mean, median, percentile } from '../stats.js';

/** Seconds of repeated runs, after `warmUps` that do not count: for about `seconds`, at least `least` times. */
export async function times(run: (i: number) => Promise<void>, { warmUps, seconds, least }: { warmUps: number; seconds: number; least: number }): Promise<number[]> {
  for (let i = 0; i < warmUps; i++) await run(i);
  const out: number[] = [];
  cpuClock.start();
  for (const end = performance.now() + 1000 * seconds; performance.now() < end || out.length < least; ) {
    const start = performance.now();
    await run(warmUps + out.length);
    out.push((performance.now() - start) / 1000);
  }
  return out;
}

/** CPU time over wall time since `start`, all threads of this process: far below the thread count on a machine that is busy elsewhere. */
export const cpuClock = {
  wall: 0,
  cpu: process.cpuUsage(),
  start() {
    this.wall = performance.now();
    this.cpu = process.cpuUsage();
  },
  share(): number {
    const { user, system } = process.cpuUsage(this.cpu);
    return (user + system) / 1000 / (performance.now() - this.wall);
  },
};

export interface Rate {
  /** 1 / median time of a byte. */
  bytesPerSecond: number;
  bytesPerSecondP10: number;
  bytesPerSecondP90: number;
  /** All bytes / all time. */
  meanBytesPerSecond: number;
  runs: number;
  /** Processors' worth of time that the process had while it was measured. */
  cpuShare: number;
}

/** To be called right after the runs. */
export const rateOf = (seconds: readonly number[], bytes: number): Rate => ({
  bytesPerSecond: bytes / median(seconds),
  bytesPerSecondP10: bytes / percentile(seconds, 0.9),
  bytesPerSecondP90: bytes / percentile(seconds, 0.1),
  meanBytesPerSecond: bytes / mean(seconds),
  runs: seconds.length,
  cpuShare: cpuClock.share(),
});

/** GFLOP/s of a 1024³ float32 product on the active backend, by bytelm's own matMul. */
export async function matmulGflops(n = 1024, seconds = 0.4): Promise<number> {
  const a = tf.randomNormal([n, n]);
  const b = tf.randomNormal([n, n]);
  const spent = await times(
    async () => {
      const y = matMul(a, b);
      // One value read back: the product is done, and little is copied.
      const one = tf.slice(y, [0, 0], [1, 1]);
      await one.data();
      tf.dispose([y, one]);
    },
    { warmUps: 2, seconds, least: 3 },
  );
  tf.dispose([a, b]);
  return (2 * n ** 3) / median(spent) / 1e9;
}
