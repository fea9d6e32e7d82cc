export { findBLT, findEntropyModel, readBLTConfig, type BLTSource, type EntropyModelSource } from './find.js';
export { bltView, entropyView, layoutOf } from './layout.js';
export { loadBLT, loadEntropyModel, type HashTables, type LoadBLTOptions } from './load.js';
export { saveBLT, saveEntropyModel, type SaveBLTOptions } from './save.js';
export { withEntropyFfnOf, withFfnOf } from './ffn-width.js';
