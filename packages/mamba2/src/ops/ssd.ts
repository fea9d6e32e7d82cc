import { checkShape, ShapeError, silu, type Dims } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { ssdOp } from '../kernels/ssd/op.js';

/**
 * Positions a chunk at most: a balance of work within and across chunks for P and N of 64 to 128. Published configs say 256, which suits
 * 16-bit matrix units; here it would only cost time, and four times the memory for decays.
 */
const LARGEST_CHUNK = 64;

export interface SsdParameters {
  /** (B, L, H), before bias and softplus when `dtSoftplus` is set. */
  dt: tf.Tensor;
  /** (H), negative. */
  A: tf.Tensor;
  /** (B, L, G, N); heads h*G/H.. share group h. H must be a multiple of G. */
  B: tf.Tensor;
  C: tf.Tensor;
  /** (H) or (H, P): adds `D * x` to the output. */
  D?: tf.Tensor | undefined;
  /** (B, L, H, P): multiplies the output, after the D term, with silu(z). */
  z?: tf.Tensor | undefined;
  /** (H), added to dt. */
  dtBias?: tf.Tensor | undefined;
  /** Step size = softplus(dt + dtBias). Default false. */
  dtSoftplus?: boolean | undefined;
  /** Step sizes are clamped to [low, high]; no gradient outside. */
  dtLimit?: readonly [number, number] | undefined;
}

export interface SsdOptions extends SsdParameters {
  /** At most this many positions a chunk, default and upper bound 64; it never changes the result beyond rounding. */
  chunkSize?: number | undefined;
  /** (B, H, P, N). With `documentIds` it belongs to id 0: a row that starts with another id ignores it. */
  initialState?: tf.Tensor | undefined;
  /** (B, L) int32, non-decreasing: the state restarts where the id changes. */
  documentIds?: tf.Tensor | undefined;
  /** (B) int32: at and after this position the step size is 0, so padding leaves the state untouched. */
  lengths?: tf.Tensor | undefined;
  returnFinalState?: boolean | undefined;
}

/**
 * State-space dual scan of Mamba-2, chunked: `S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t^T`, `y_t = S_t C_t + D x_t`.
 * Differentiable in every float argument.
 *
 * @param x (B, L, H, P) float32.
 * @returns `y` (B, L, H, P); `finalState` (B, H, P, N) when asked for.
 * @throws ShapeError when a tensor does not fit the others.
 * @source Dao & Gu, arXiv 2405.21060, section 6.
 * @example
 * const { y } = ssd(x, { dt, A, B, C });
 */
export function ssd(x: tf.Tensor, options: SsdOptions & { returnFinalState: true }): { y: tf.Tensor4D; finalState: tf.Tensor4D };
export function ssd(x: tf.Tensor, options: SsdOptions): { y: tf.Tensor4D; finalState?: tf.Tensor4D };
export function ssd(x: tf.Tensor, options: SsdOptions): { y: tf.Tensor4D; finalState?: tf.Tensor4D } {
  const dims = checkSsd('ssd', x, options, '(B, L, H, P)');
  const { dt, A, B, C, D, z, dtBias, initialState, documentIds, lengths, chunkSize = LARGEST_CHUNK, returnFinalState = false } = options;
  if (!(chunkSize >= 1)) throw new ShapeError(`[ssd] \`chunkSize\`: expected a positive number, got ${chunkSize}.`);
  if (dims.L === 0) throw new ShapeError('[ssd] `x`: expected at least one position, got L = 0.');
  if (initialState) checkShape('ssd', initialState, 'initialState', '(B, H, P, N)', dims);
  if (documentIds) checkShape('ssd', documentIds, 'documentIds', '(B, L)', dims, 'int32');
  if (lengths) checkShape('ssd', lengths, 'lengths', '(B)', dims, 'int32');
  const attrs = { ...stepSizeAttrs('ssd', options), chunkSize: Math.min(Math.floor(chunkSize), LARGEST_CHUNK), returnFinalState };
  return tf.tidy(() => {
    const [out, finalState] = ssdOp({ x, dt, A, B, C, D, dtBias, initialState, documentIds, lengths }, attrs);
    const y = (z ? tf.mul(out!, silu(z)) : out!) as tf.Tensor4D;
    return finalState ? { y, finalState: finalState as tf.Tensor4D } : { y };
  });
}

/** Limits and softplus as kernels take them. */
export function stepSizeAttrs(where: string, { dtSoftplus = false, dtLimit }: Pick<SsdParameters, 'dtSoftplus' | 'dtLimit'>) {
  const [dtMin, dtMax] = dtLimit ?? [0, Infinity];
  if (!(dtMin >= 0 && dtMax >= dtMin)) throw new ShapeError(`[${where}] \`dtLimit\`: expected 0 <= low <= high, got [${dtMin}, ${dtMax}].`);
  return { dtSoftplus, dtMin, dtMax };
}

/** Checks everything that `ssd` and `ssdStep` share; `pattern` is that of x. */
export function checkSsd(where: string, x: tf.Tensor, o: SsdParameters, pattern: '(B, L, H, P)' | '(B, H, P)'): Dims {
  const dims: Dims = {};
  const lead = pattern === '(B, H, P)' ? 'B' : 'B, L';
  checkShape(where, x, 'x', pattern, dims, 'float32');
  checkShape(where, o.dt, 'dt', `(${lead}, H)`, dims);
  checkShape(where, o.A, 'A', '(H)', dims);
  checkShape(where, o.B, 'B', `(${lead}, G, N)`, dims);
  checkShape(where, o.C, 'C', `(${lead}, G, N)`, dims);
  if (dims.H! % dims.G! !== 0) {
    throw new ShapeError(`[${where}] \`B\`: the number of heads must be a multiple of the number of groups, got H = ${dims.H}, G = ${dims.G}.`);
  }
  if (o.D) checkShape(where, o.D, 'D', o.D.rank === 1 ? '(H)' : '(H, P)', dims);
  if (o.z) checkShape(where, o.z, 'z', pattern, dims);
  if (o.dtBias) checkShape(where, o.dtBias, 'dtBias', '(H)', dims);
  return dims;
}
