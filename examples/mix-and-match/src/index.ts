export { buildSwap, swapByName, type Bases, type Built } from './build.js';
export { replacedParts, type Material, type Swap } from './swap.js';
export * from './swaps/index.js';
