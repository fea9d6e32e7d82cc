export { compact, count, duration, rate } from './format.js';
export { createProgress, type Progress, type ProgressOptions } from './progress.js';
export { readInputs, type InputText } from './read-input.js';
export { errorText } from './report-error.js';
export { runMain, runProgram, type AddCommand } from './run-program.js';
export { withSamplingOptions, withSharedOptions, type BackendChoice, type SharedOptions } from './shared-options.js';
export { startBackend } from './start.js';
export { breathe, stopSignal } from './stop-signal.js';
export { byteRange, collect, numberList, real, whole, type ByteRange } from './values.js';
