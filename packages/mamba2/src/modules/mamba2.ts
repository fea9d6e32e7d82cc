import {
  checkShape,
  checkStep,
  linear,
  Module,
  rmsNormGated,
  silu,
  splitLast,
  zeroRows,
  type ResidualPair,
  type Rng,
  type SequenceContext,
  type SequenceModel,
} from '@bytelm/core';
import * as tf from '@tensorflow/tfjs-core';
import { resolveMamba2Config, type Mamba2Config, type ResolvedMamba2Config } from '../config.js';
import { stepOp } from '../kernels/step/op.js';
import { causalConv1d } from '../ops/causal-conv1d.js';
import { ssd } from '../ops/ssd.js';
import { mixerOnDevice } from './on-device.js';
import { initialALog, initialDtBias, initialLinear, initialUniform } from './initial.js';

/** What a mixer remembers of each row: the last K-1 inputs of the convolution, and the scan's state. */
export interface Mamba2State {
  /** (B, K-1, C) raw inputs, oldest first. */
  conv: tf.Tensor3D;
  /** (B, H, P, N). */
  ssm: tf.Tensor4D;
}

/**
 * The Mamba-2 mixer: projection, causal convolution, state-space scan, gated norm, projection.
 *
 * Notable features: one projection gives gate, x, B, C and step sizes; B and C are shared by the heads of a group, so the scan is masked
 * attention without softmax; a state of fixed size makes the cost of a step independent of the position.
 *
 * Keys: `in_proj.weight` (rows [MLP gate, MLP value, z, x, B, C, dt]), `conv1d.weight` (C, 1, K), `conv1d.bias`, `dt_bias`, `A_log`, `D`,
 * `norm.weight`, `out_proj.weight`, and the projections' `.bias` where the config has them.
 *
 * @source Dao & Gu, arXiv 2405.21060; parameter names of state-spaces/mamba.
 */
export class Mamba2 extends Module implements SequenceModel<Mamba2State> {
  readonly config: ResolvedMamba2Config;
  readonly dModel: number;
  readonly onDevice = mixerOnDevice(this);
  readonly inProj: tf.Variable;
  readonly inProjBias: tf.Variable | undefined;
  readonly convWeight: tf.Variable;
  readonly convBias: tf.Variable | undefined;
  readonly dtBias: tf.Variable;
  readonly aLog: tf.Variable;
  readonly D: tf.Variable;
  readonly normWeight: tf.Variable | undefined;
  readonly outProj: tf.Variable;
  readonly outProjBias: tf.Variable | undefined;

  constructor(config: Mamba2Config, rng?: Rng) {
    super();
    const c = resolveMamba2Config(config);
    this.config = c;
    this.dModel = c.dModel;
    this.inProj = this.addParameter('in_proj.weight', initialLinear(rng?.fork('in_proj'), c.projRows, c.dModel, c.initStd));
    if (c.bias) this.inProjBias = this.addParameter('in_proj.bias', initialUniform(rng?.fork('in_proj.bias'), [c.projRows], c.dModel));
    this.convWeight = this.addParameter('conv1d.weight', initialUniform(rng?.fork('conv1d'), [c.convChannels, 1, c.convWidth], c.convWidth));
    if (c.convBias) this.convBias = this.addParameter('conv1d.bias', initialUniform(rng?.fork('conv1d.bias'), [c.convChannels], c.convWidth));
    this.dtBias = this.addParameter('dt_bias', initialDtBias(rng?.fork('dt_bias'), c));
    this.aLog = this.addParameter('A_log', initialALog(rng?.fork('A_log'), c));
    this.D = this.addParameter('D', tf.ones([c.dPerChannel ? c.dSsm : c.numHeads]));
    if (c.rmsNorm) this.normWeight = this.addParameter('norm.weight', tf.ones([c.dSsm]));
    this.outProj = this.addParameter('out_proj.weight', initialLinear(rng?.fork('out_proj'), c.dModel, c.dInner, c.outInitStd, c.outInitScale));
    if (c.bias) this.outProjBias = this.addParameter('out_proj.bias', initialUniform(rng?.fork('out_proj.bias'), [c.dModel], c.dInner));
  }

  forward(u: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    return this.run(u, ctx).y;
  }

  initState(batchSize: number): Mamba2State {
    const { convWidth, convChannels, numHeads, headDim, dState } = this.config;
    return { conv: tf.zeros([batchSize, convWidth - 1, convChannels]), ssm: tf.zeros([batchSize, numHeads, headDim, dState]) };
  }

  prefill(u: tf.Tensor3D, state: Mamba2State, ctx: SequenceContext): { y: tf.Tensor3D; state: Mamba2State } {
    const out = this.run(u, ctx, state);
    tf.dispose([state.conv, state.ssm]);
    return { y: out.y, state: out.state! };
  }

  step(u: tf.Tensor2D, state: Mamba2State, rows?: readonly number[]): { y: tf.Tensor2D; state: Mamba2State } {
    const { y, state: next } = this.stepBlock({ hidden: u }, state, rows);
    return { y, state: next };
  }

  startDocument({ conv, ssm }: Mamba2State, rows: readonly number[]): Mamba2State {
    return { conv: zeroRows(conv, rows), ssm: zeroRows(ssm, rows) };
  }

  /** One position of a whole pre-norm block: `sum` = hidden (+ residual), y = mixer(rmsNorm(sum; norm)). Without `norm`: of the mixer alone. */
  stepBlock(
    { hidden, residual, norm }: ResidualPair<tf.Tensor2D> & { norm?: tf.Tensor | undefined },
    state: Mamba2State,
    rows?: readonly number[],
    active?: tf.Tensor1D,
  ): { y: tf.Tensor2D; sum?: tf.Tensor2D | undefined; state: Mamba2State } {
    checkStep('Mamba2.step', hidden, this.dModel, state.conv.shape[0]!, rows);
    const [y, ...rest] = stepOp(
      {
        hidden,
        residual,
        active,
        norm,
        conv: state.conv,
        ssm: state.ssm,
        inProj: this.inProj,
        inBias: this.inProjBias,
        convWeight: this.convWeight,
        convBias: this.convBias,
        dtBias: this.dtBias,
        aLog: this.aLog,
        D: this.D,
        gateWeight: this.normWeight,
        outProj: this.outProj,
        outBias: this.outProjBias,
      },
      { config: this.config, rows },
    ) as [tf.Tensor2D, ...tf.Tensor[]];
    const sum = norm ? (rest.shift() as tf.Tensor2D) : undefined;
    const [conv, ssm] = rest as [tf.Tensor3D?, tf.Tensor4D?];
    if (!conv || !ssm) return { y, sum, state };
    tf.dispose([state.conv, state.ssm]);
    return { y, sum, state: { conv, ssm } };
  }

  private run(u: tf.Tensor3D, ctx: SequenceContext, state?: Mamba2State): { y: tf.Tensor3D; state?: Mamba2State } {
    const c = this.config;
    checkShape('Mamba2', u, 'u', `(B, L, ${c.dModel})`, { B: ctx.batch, L: ctx.length });
    return tf.tidy(() => {
      const [batch, length] = u.shape;
      const lengths = ctx.lengthsTensor();
      const documentIds = ctx.documentIdsTensor();
      const { mlpGate, mlp, z, xBC, dt } = this.project(u);
      const conv = causalConv1d(xBC, {
        weight: this.convWeight,
        bias: this.convBias,
        activation: 'silu',
        initialState: state?.conv,
        documentIds,
        lengths,
        returnLastState: state !== undefined,
      });
      const { x, B, C } = this.splitConv(conv.y);
      const scan = ssd(tf.reshape(x, [batch, length, c.numHeads, c.headDim]), {
        dt,
        A: this.A(),
        B: tf.reshape(B, [batch, length, c.numGroups, c.dState]),
        C: tf.reshape(C, [batch, length, c.numGroups, c.dState]),
        D: this.skip(),
        dtBias: this.dtBias,
        dtSoftplus: true,
        dtLimit: c.dtLimit,
        chunkSize: c.chunkSize,
        initialState: state?.ssm,
        documentIds,
        lengths,
        returnFinalState: state !== undefined,
      });
      const y = this.finish(tf.reshape(scan.y, [batch, length, c.dSsm]), z, mlpGate, mlp) as tf.Tensor3D;
      return state ? { y, state: { conv: conv.lastState!, ssm: scan.finalState! } } : { y };
    });
  }

  private project(u: tf.Tensor) {
    const { dMlp, dSsm, convChannels, numHeads } = this.config;
    const p = linear(u, this.inProj, this.inProjBias);
    const mlpSizes = dMlp ? [dMlp, dMlp] : [];
    const parts = splitLast(p, [...mlpSizes, dSsm, convChannels, numHeads]);
    const [z, xBC, dt] = parts.slice(mlpSizes.length) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return { mlpGate: dMlp ? parts[0] : undefined, mlp: dMlp ? parts[1] : undefined, z, xBC, dt };
  }

  private splitConv(xBC: tf.Tensor) {
    const { dSsm, numGroups, dState } = this.config;
    const [x, B, C] = splitLast(xBC, [dSsm, numGroups * dState, numGroups * dState]) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return { x, B, C };
  }

  private finish(y: tf.Tensor, z: tf.Tensor, mlpGate?: tf.Tensor, mlp?: tf.Tensor): tf.Tensor {
    const { dSsm, numGroups, eps, normBeforeGate } = this.config;
    // Checkpoint: one variance per group of channels, not one per row; older readers of grouped models got this wrong.
    let out = this.normWeight
      ? rmsNormGated(y, z, this.normWeight, { eps, groupSize: dSsm / numGroups, normBeforeGate })
      : tf.mul(y, silu(z));
    if (mlpGate && mlp) out = tf.concat([tf.mul(silu(mlpGate), mlp), out], out.rank - 1);
    return linear(out, this.outProj, this.outProjBias);
  }

  /** A = -exp(A_log). */
  private A(): tf.Tensor {
    return tf.neg(tf.exp(this.aLog));
  }

  /** D as the scan takes it: (H) or (H, P). */
  private skip(): tf.Tensor {
    const { dPerChannel, numHeads, headDim } = this.config;
    return dPerChannel ? tf.reshape(this.D, [numHeads, headDim]) : this.D;
  }
}
