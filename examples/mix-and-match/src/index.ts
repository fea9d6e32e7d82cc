export { buildSwap, swapByName, type Bases, type Built } from './build.js';
export { replacedParts, type Material, type Swap } from './swap.js';
export { BASES, BYTES_PER_CHUNK, ENTROPY_MODEL } from './sizes.js';
export * from './swaps/index.js';
