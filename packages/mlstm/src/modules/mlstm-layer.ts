import {
  checkShape,
  checkStep,
  linear,
  Module,
  splitLast,
  zeroRows,
  type ResidualPair,
  type Rng,
  type SequenceContext,
  type SequenceModel,
} from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { resolveMLSTMConfig, type MLSTMConfig, type ResolvedMLSTMConfig } from '../config.js';
import { headNorm } from '../kernels/head-norm/op.js';
import { stepOp } from '../kernels/step/op.js';
import { mlstm, type MLSTMState } from '../ops/mlstm.js';
import { tidy } from '../tidy.js';
import type { GatedMlp } from './gated-mlp.js';
import { initialUniform, spread } from './initial.js';
import { layerOnDevice } from './on-device.js';

/** What a step of a block needs besides the layer: its norms, and the MLP behind the second. */
export interface BlockParts {
  norm: tf.Tensor;
  eps: number;
  second?: { norm: tf.Tensor; mlp: GatedMlp } | undefined;
}

/**
 * The mLSTM layer of xLSTM-large: queries, keys, values and gates from one input, the cell, LayerNorm over each head, output gate, projection.
 *
 * Notable features: the memory is a matrix a head, written with outer products, so a step costs the same at every position; the input gate is
 * exponential. No convolution, no rotary embedding, no skip inside.
 *
 * Keys: `q.weight`, `k.weight` (qkDim, D), `v.weight`, `ogate_preact.weight` (vDim, D), `igate_preact.weight`, `fgate_preact.weight` (H, D) and their
 * `.bias` (H), `multihead_norm.weight` (vDim), `out_proj.weight` (D, vDim).
 *
 * @source Beck et al., arXiv 2405.04517 and 2503.13427; parameter names of NX-AI's `xlstm` (`mLSTMLayer`), as in Bolmo.
 */
export class MLSTMLayer extends Module implements SequenceModel<MLSTMState> {
  readonly config: ResolvedMLSTMConfig;
  readonly dModel: number;
  readonly onDevice = layerOnDevice(this);
  readonly q: tf.Variable;
  readonly k: tf.Variable;
  readonly v: tf.Variable;
  readonly outputGate: tf.Variable;
  readonly inputGate: tf.Variable;
  readonly inputBias: tf.Variable;
  readonly forgetGate: tf.Variable;
  readonly forgetBias: tf.Variable;
  readonly headNorm: tf.Variable;
  readonly outProj: tf.Variable;

  /** @throws ConfigError */
  constructor(config: MLSTMConfig, rng?: Rng) {
    super();
    const c = resolveMLSTMConfig(config);
    this.config = c;
    this.dModel = c.dModel;
    const weight = (name: string, rows: number, columns = c.dModel) =>
      this.addParameter(`${name}.weight`, initialUniform(rng?.fork(name), [rows, columns], columns));
    this.q = weight('q', c.qkDim);
    this.k = weight('k', c.qkDim);
    this.v = weight('v', c.vDim);
    this.outputGate = weight('ogate_preact', c.vDim);
    this.inputGate = weight('igate_preact', c.numHeads);
    this.inputBias = this.addParameter('igate_preact.bias', tf.fill([c.numHeads], rng ? c.inputGateBias : 0));
    this.forgetGate = weight('fgate_preact', c.numHeads);
    this.forgetBias = this.addParameter(
      'fgate_preact.bias',
      rng && c.forgetGateBias ? spread(c.forgetGateBias, c.numHeads) : initialUniform(rng?.fork('fgate_preact.bias'), [c.numHeads], c.dModel),
    );
    this.headNorm = this.addParameter('multihead_norm.weight', tf.ones([c.vDim]));
    this.outProj = weight('out_proj', c.dModel, c.vDim);
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return this.run(x, ctx).y;
  }

  initState(batchSize: number): MLSTMState {
    const { numHeads, keyDim, valueDim } = this.config;
    return { C: tf.zeros([batchSize, numHeads, keyDim, valueDim]), n: tf.zeros([batchSize, numHeads, keyDim]), m: tf.zeros([batchSize, numHeads]) };
  }

  prefill(x: tf.Tensor3D, state: MLSTMState, ctx: SequenceContext): { y: tf.Tensor3D; state: MLSTMState } {
    const out = this.run(x, ctx, state);
    tf.dispose([state.C, state.n, state.m]);
    return { y: out.y, state: out.state! };
  }

  step(x: tf.Tensor2D, state: MLSTMState, rows?: readonly number[]): { y: tf.Tensor2D; state: MLSTMState } {
    const { y, state: next } = this.stepBlock({ hidden: x }, state, rows);
    return { y, state: next };
  }

  startDocument({ C, n, m }: MLSTMState, rows: readonly number[]): MLSTMState {
    return { C: zeroRows(C, rows), n: zeroRows(n, rows), m: zeroRows(m, rows) };
  }

  /**
   * One position of a whole pre-norm block: `sum` = hidden (+ residual), y = layer(rmsNorm(sum)), and with a second half `sum` += y,
   * y = mlp(rmsNorm(sum)). Without `block`: of the layer alone.
   */
  stepBlock(
    { hidden, residual }: ResidualPair<tf.Tensor2D>,
    state: MLSTMState,
    rows?: readonly number[],
    block?: BlockParts,
    active?: tf.Tensor1D,
  ): { y: tf.Tensor2D; sum?: tf.Tensor2D | undefined; state: MLSTMState } {
    checkStep('MLSTMLayer.step', hidden, this.dModel, state.m.shape[0]!, rows);
    const second = block?.second;
    const [y, ...rest] = stepOp(
      {
        hidden,
        residual,
        active,
        norm: block?.norm,
        ...state,
        q: this.q,
        k: this.k,
        v: this.v,
        outputGate: this.outputGate,
        inputGate: this.inputGate,
        inputBias: this.inputBias,
        forgetGate: this.forgetGate,
        forgetBias: this.forgetBias,
        headNorm: this.headNorm,
        outProj: this.outProj,
        norm2: second?.norm,
        gateProj: second?.mlp.gate,
        upProj: second?.mlp.up,
        downProj: second?.mlp.down,
      },
      { config: this.config, normEps: block?.eps ?? 0, rows },
    ) as [tf.Tensor2D, ...tf.Tensor[]];
    const sum = block ? (rest.shift() as tf.Tensor2D) : undefined;
    const [C, n, m] = rest as [tf.Tensor4D?, tf.Tensor3D?, tf.Tensor2D?];
    if (!C || !n || !m) return { y, sum, state };
    tf.dispose([state.C, state.n, state.m]);
    return { y, sum, state: { C, n, m } };
  }

  private run(x: tf.Tensor3D, ctx: SequenceContext, state?: MLSTMState): { y: tf.Tensor3D; state?: MLSTMState } {
    const c = this.config;
    checkShape('MLSTMLayer', x, 'x', `(B, L, ${c.dModel})`, { B: ctx.batch, L: ctx.length });
    return tidy(() => {
      const [batch, length] = x.shape;
      const heads = (t: tf.Tensor, width: number) => tf.reshape(t, [batch, length, c.numHeads, width]);
      // One product for all that reads x: weights are small beside it, and so is the sum of gradients with respect to x.
      const weights = tf.concat([this.q, this.k, this.v, this.outputGate, this.inputGate, this.forgetGate], 0);
      const parts = splitLast(linear(x, weights), [c.qkDim, c.qkDim, c.vDim, c.vDim, c.numHeads, c.numHeads]);
      const [q, k, v, outputGate, inputGate, forgetGate] = parts as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const cell = mlstm(heads(q, c.keyDim), {
        k: heads(k, c.keyDim),
        v: heads(v, c.valueDim),
        inputGate: tf.add(inputGate, this.inputBias),
        forgetGate: tf.add(forgetGate, this.forgetBias),
        gateSoftCap: c.gateSoftCap,
        eps: c.cellEps,
        chunkSize: c.chunkSize,
        gradient: c.gradient,
        initialState: state,
        documentIds: ctx.documentIdsTensor(),
        lengths: ctx.lengthsTensor(),
        returnFinalState: state !== undefined,
      });
      const y = linear(headNorm(cell.h, outputGate, this.headNorm, c.headNormEps), this.outProj) as tf.Tensor3D;
      return state ? { y, state: cell.finalState! } : { y };
    });
  }
}
