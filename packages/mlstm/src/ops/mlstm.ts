import { checkShape, ShapeError, type Dims } from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { cellOp } from '../kernels/cell/op.js';
import { tidy } from '../tidy.js';

/** Positions a chunk where nothing else is said: a balance of work within and across chunks for widths of 32 to 256. */
const DEFAULT_CHUNK = 64;

/** What an mLSTM remembers of each row and head: C and n scaled by e^-m. Empty: zeros. */
export interface MLSTMState {
  /** (B, H, K, V) sum of k vᵀ. */
  C: tf.Tensor4D;
  /** (B, H, K) sum of k. */
  n: tf.Tensor3D;
  /** (B, H) log scale [stabiliser]. */
  m: tf.Tensor2D;
}

/** How the same numbers are computed. */
export type MLSTMForm = 'chunkwise' | 'parallel' | 'recurrent';

export interface MLSTMInputs {
  /** (B, L, H, K). */
  k: tf.Tensor;
  /** (B, L, H, V). */
  v: tf.Tensor;
  /** (B, L, H): the log of the input gate, before the soft cap where there is one. */
  inputGate: tf.Tensor;
  /** (B, L, H): the forget gate before its sigmoid, before the soft cap where there is one. */
  forgetGate: tf.Tensor;
  /** Both gates become `cap * tanh(gate / cap)` first. Default: they come capped, or need no cap. */
  gateSoftCap?: number | undefined;
  /** Added to the (scaled) denominator, default 1e-6. Not scale-free: with open input gates it shows in the output. */
  eps?: number | undefined;
}

export interface MLSTMOptions extends MLSTMInputs {
  /**
   * 'chunkwise' (default): matrix products within chunks, a recurrence over them. 'parallel': one chunk, quadratic in L. 'recurrent': one token
   * after another (its backward pass is chunkwise). They differ by rounding only.
   */
  form?: MLSTMForm | undefined;
  /** At most this many positions a chunk, default 64; never changes the result beyond rounding. */
  chunkSize?: number | undefined;
  /** With `documentIds` it belongs to id 0: a row that starts with another id ignores it. */
  initialState?: MLSTMState | undefined;
  returnFinalState?: boolean | undefined;
  /** (B, L) int32, non-decreasing: the state is empty again where the id changes. */
  documentIds?: tf.Tensor | undefined;
  /** (B) int32: positions from here on are padding and leave the state untouched. */
  lengths?: tf.Tensor | undefined;
  /**
   * 'true' (default): the derivative. 'published': denominator and stabiliser are taken for constants, as the published kernels do. The two agree
   * where h goes through a norm over each head's values, since that removes the denominator again; without such a norm 'published' is wrong.
   * With 'published' no gradient reaches the m of states, with 'true' pieces of a sequence give the gradients of the whole.
   */
  gradient?: 'true' | 'published' | undefined;
}

/**
 * Matrix LSTM: `C_t = f_t C_{t-1} + i_t k_t v_tᵀ`, `n_t = f_t n_{t-1} + i_t k_t`, `h_t = C_tᵀ q / max(|n_t q|, 1)` with `i = exp(inputGate)`,
 * `f = sigmoid(forgetGate)` and `q / sqrt(K)` for q, stabilised: C and n are kept scaled by e^-m, `m_t = max(log f_t + m_{t-1}, log i_t)`.
 * Differentiable in every float argument.
 *
 * @param q (B, L, H, K) float32.
 * @returns `h` (B, L, H, V); `finalState` when asked for.
 * @throws ShapeError when a tensor does not fit the others.
 * @source Beck et al., arXiv 2405.04517; chunkwise form: arXiv 2503.14376; conventions of `mlstm_kernels` with m = 0 in the empty state.
 * @example
 * const { h } = mlstm(q, { k, v, inputGate, forgetGate, gateSoftCap: 15 });
 */
export function mlstm(q: tf.Tensor, options: MLSTMOptions & { returnFinalState: true }): { h: tf.Tensor4D; finalState: MLSTMState };
export function mlstm(q: tf.Tensor, options: MLSTMOptions): { h: tf.Tensor4D; finalState?: MLSTMState };
export function mlstm(q: tf.Tensor, options: MLSTMOptions): { h: tf.Tensor4D; finalState?: MLSTMState } {
  const dims = checkCell('mlstm', q, options, 'B, L');
  const { k, v, eps = 1e-6, form = 'chunkwise', chunkSize = DEFAULT_CHUNK, initialState, documentIds, lengths, gradient = 'true', returnFinalState = false } = options;
  const fail = (text: string): never => {
    throw new ShapeError(`[mlstm] ${text}`);
  };
  if (!(chunkSize >= 1)) fail(`\`chunkSize\`: expected a positive number, got ${chunkSize}.`);
  if (!['chunkwise', 'parallel', 'recurrent'].includes(form)) fail(`\`form\`: expected 'chunkwise', 'parallel' or 'recurrent', got ${JSON.stringify(form)}.`);
  if (!['true', 'published'].includes(gradient)) fail(`\`gradient\`: expected 'true' or 'published', got ${JSON.stringify(gradient)}.`);
  if (dims.L === 0) fail('`q`: expected at least one position, got L = 0.');
  if (initialState) checkCellState('mlstm', initialState, 'initialState', dims);
  if (documentIds) checkShape('mlstm', documentIds, 'documentIds', '(B, L)', dims, 'int32');
  if (lengths) checkShape('mlstm', lengths, 'lengths', '(B)', dims, 'int32');
  const attrs = {
    chunkSize: form === 'parallel' ? dims.L! : Math.floor(chunkSize),
    recurrent: form === 'recurrent',
    eps,
    publishedGradient: gradient === 'published',
    returnFinalState,
  };
  return tidy(() => {
    const [h, C, n, m] = cellOp({ q, k, v, ...cappedGates(options), ...initialState, documentIds, lengths }, attrs);
    const state = { C, n, m } as MLSTMState;
    return returnFinalState ? { h: h as tf.Tensor4D, finalState: state } : { h: h as tf.Tensor4D };
  });
}

/** `cap * tanh(x / cap)`: x where it is small, within ±cap everywhere. */
export function softCap<T extends tf.Tensor>(x: T, cap: number): T {
  return tf.tidy(() => tf.mul(tf.tanh(tf.mul(x, 1 / cap)), cap)) as T;
}

function cappedGates({ inputGate, forgetGate, gateSoftCap }: MLSTMInputs) {
  if (gateSoftCap === undefined) return { inputGate, forgetGate };
  return { inputGate: softCap(inputGate, gateSoftCap), forgetGate: softCap(forgetGate, gateSoftCap) };
}

/** Checks everything that `mlstm` and `mlstmStep` share; `lead` are q's axes before heads and width. */
export function checkCell(where: string, q: tf.Tensor, { k, v, inputGate, forgetGate, gateSoftCap, eps = 0 }: MLSTMInputs, lead: 'B, L' | 'B'): Dims {
  const dims: Dims = {};
  checkShape(where, q, 'q', `(${lead}, H, K)`, dims, 'float32');
  checkShape(where, k, 'k', `(${lead}, H, K)`, dims, 'float32');
  checkShape(where, v, 'v', `(${lead}, H, V)`, dims, 'float32');
  checkShape(where, inputGate, 'inputGate', `(${lead}, H)`, dims, 'float32');
  checkShape(where, forgetGate, 'forgetGate', `(${lead}, H)`, dims, 'float32');
  if (gateSoftCap !== undefined && !(gateSoftCap > 0)) throw new ShapeError(`[${where}] \`gateSoftCap\`: expected a positive number, got ${gateSoftCap}. Hint: leave it out for no cap.`);
  if (!(eps >= 0)) throw new ShapeError(`[${where}] \`eps\`: expected a number of at least 0, got ${eps}.`);
  return dims;
}

export function checkCellState(where: string, { C, n, m }: MLSTMState, name: string, dims: Dims): void {
  checkShape(where, C, `${name}.C`, '(B, H, K, V)', dims, 'float32');
  checkShape(where, n, `${name}.n`, '(B, H, K)', dims, 'float32');
  checkShape(where, m, `${name}.m`, '(B, H)', dims, 'float32');
}
