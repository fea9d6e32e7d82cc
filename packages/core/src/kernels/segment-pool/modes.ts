import type { PoolMode } from './naive.js';

/** As numbered in as/segment-pool.ts and native/segment-pool.cc. */
export const MODES: readonly PoolMode[] = ['sum', 'mean', 'max', 'min', 'first', 'last'];
