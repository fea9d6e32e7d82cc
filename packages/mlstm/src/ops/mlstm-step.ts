import * as tf from '@tensorflow/tfjs-core';
import { checkCell, checkCellState, mlstm, type MLSTMInputs, type MLSTMState } from './mlstm.js';
import { tidy } from '../tidy.js';

/**
 * One position of `mlstm` on top of a state.
 *
 * @param q (B, H, K). The options are those of `mlstm` without the time axis: `k` (B, H, K), `v` (B, H, V), gates (B, H).
 * @param options.state stays as it is.
 * @returns `h` (B, H, V) and the next `state`.
 * @throws ShapeError
 */
export function mlstmStep(q: tf.Tensor, options: MLSTMInputs & { state: MLSTMState }): { h: tf.Tensor3D; state: MLSTMState } {
  const dims = checkCell('mlstmStep', q, options, 'B');
  const { k, v, inputGate, forgetGate, gateSoftCap, eps, state } = options;
  checkCellState('mlstmStep', state, 'state', dims);
  return tidy(() => {
    const [q1, k1, v1, i1, f1] = [q, k, v, inputGate, forgetGate].map((t) => tf.expandDims(t, 1)) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
    const out = mlstm(q1, { k: k1, v: v1, inputGate: i1, forgetGate: f1, gateSoftCap, eps, form: 'recurrent', initialState: state, returnFinalState: true });
    return { h: tf.squeeze(out.h, [1]) as tf.Tensor3D, state: out.finalState };
  });
}
