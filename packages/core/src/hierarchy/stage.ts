import * as tf from '@tensorflow/tfjs-core';
import { after } from '../backend/can-read-sync.js';
import type { Chunker, Downsampler, MaybePromise, SequenceModel, Upsampler } from '../contracts/index.js';
import type { OnDevice } from '../contracts/on-device.js';
import { Segmentation } from '../contracts/segmentation.js';
import { SequenceContext } from '../contracts/sequence-context.js';
import { BackendError, ConfigError } from '../errors.js';
import { Module, type HasParameters } from '../module/module.js';
import { cloneState, disposeState } from '../state.js';
import { stageOnDevice } from './stage-on-device.js';

/**
 *     x ─► encoder ─► chunker ─► downsample ─► main ─► upsample ─► decoder ─► y
 *             │          │ boundaries           │ (may itself be such a stage)
 *             └──────────┴───── residual ───────┴────────► upsample
 *
 * One level of a hierarchical byte model. Every part can be replaced by any other of its interface.
 */
export interface StageParts {
  encoder: SequenceModel;
  chunker: Chunker;
  downsample: Downsampler;
  main: SequenceModel;
  upsample: Upsampler;
  decoder: SequenceModel;
}

/** Under which name a part's parameters appear; `''` lends them unprefixed. */
export type StageNames = { [K in keyof StageParts]: string };

export interface StageOptions {
  /** Of the model's head, where that emits boundaries: ids from this one on say that a chunk ends. Only then may chunkers look ahead. */
  boundaryFrom?: number | undefined;
}

const PLAIN_NAMES: StageNames = { encoder: 'encoder', chunker: 'chunker', downsample: 'downsample', main: 'main', upsample: 'upsample', decoder: 'decoder' };

export interface StageState {
  encoder: unknown;
  chunker: unknown;
  downsample: unknown;
  main: unknown;
  upsample: unknown;
  decoder: unknown;
  /** (B) what each row did in the last step: 1 fired, 0 did not, −1 the stage did not run. */
  fired: Int8Array;
}

export class HierarchicalStage extends Module implements SequenceModel<StageState> {
  readonly parts: Readonly<StageParts>;
  readonly names: StageNames;
  readonly dModel: number;
  readonly boundaryFrom: number | undefined;
  readonly onDevice: OnDevice<tf.Tensor2D, tf.Tensor2D, StageState> | undefined;

  /** @throws ConfigError when widths of neighbouring parts differ; it names both. */
  constructor(parts: StageParts, names: Partial<StageNames> = {}, { boundaryFrom }: StageOptions = {}) {
    super();
    this.boundaryFrom = boundaryFrom;
    this.parts = parts;
    this.names = { ...PLAIN_NAMES, ...names };
    this.dModel = parts.encoder.dModel;
    checkWiring(parts, boundaryFrom !== undefined);
    for (const key of Object.keys(PLAIN_NAMES) as (keyof StageParts)[]) {
      const part = parts[key] as Partial<HasParameters>;
      if (part.parameters) this.addModule(this.names[key], part as HasParameters);
    }
    this.onDevice = stageOnDevice(parts, boundaryFrom);
  }

  async plan(x: tf.Tensor3D, ctx: SequenceContext): Promise<Segmentation[]> {
    const { encoder, chunker, downsample, main } = this.parts;
    const decided = ctx.plan?.[0];
    if (decided && !main.plan) return [decided];
    const e = tf.tidy(() => encoder.forward(x, ctx));
    const seg = decided ?? (await chunker.segment(e, ctx));
    const plan = [seg];
    if (main.plan) {
      const inner = seg.innerContext(ctx);
      const chunks = tf.tidy(() => downsample.forward(e, seg, ctx));
      plan.push(...(await main.plan(chunks, inner)));
      chunks.dispose();
      inner.dispose();
    }
    e.dispose();
    return plan;
  }

  forward(x: tf.Tensor3D, ctx: SequenceContext): tf.Tensor3D {
    const { encoder, chunker, downsample, main, upsample, decoder } = this.parts;
    const e = encoder.forward(x, ctx);
    const boundaryProb = chunker.boundaryProb?.(e, ctx);
    const planned = ctx.plan?.[0];
    const seg = planned ?? chunker.segment(e, ctx, boundaryProb);
    if (seg instanceof Promise) {
      throw new BackendError(
        `[HierarchicalStage.forward] the '${tf.getBackend()}' backend cannot read boundaries synchronously. Hint: \`ctx.with({ plan: await model.plan(...) })\`.`,
      );
    }
    ctx.record?.push({ segmentation: seg, context: ctx, boundaryProb });
    const inner = seg.innerContext(ctx);
    const chunks = downsample.forward(e, seg, ctx);
    const z = main.forward(chunks, inner);
    const u = upsample.forward(z, e, seg, ctx, boundaryProb);
    const y = decoder.forward(u, ctx.with({ memory: { chunks: z, segmentation: seg } }));
    inner.dispose();
    if (!planned && !ctx.record) seg.dispose();
    return y;
  }

  initState(batchSize: number): StageState {
    const { encoder, chunker, downsample, main, upsample, decoder } = this.parts;
    return {
      encoder: encoder.initState(batchSize),
      chunker: chunker.initState(batchSize),
      downsample: downsample.initState(batchSize),
      main: main.initState(batchSize),
      upsample: upsample.initState(batchSize),
      decoder: decoder.initState(batchSize),
      fired: new Int8Array(batchSize).fill(-1),
    };
  }

  /** Where the chunker cuts a piece on top of a state, which stays as it is. */
  async cutPiece(x: tf.Tensor3D, state: StageState, ctx: SequenceContext): Promise<Segmentation> {
    const { encoder, chunker } = this.parts;
    const encoded = await encoder.prefill(x, cloneState(state.encoder), ctx);
    const cut = await chunker.prefill(encoded.y, cloneState(state.chunker), ctx);
    tf.dispose([encoded.y, ...(cut.boundaryProb ? [cut.boundaryProb] : [])]);
    disposeState([encoded.state, cut.state]);
    return cut.segmentation;
  }

  /** Segmentations of `ctx.plan` are taken in place of the chunker's own. */
  async prefill(x: tf.Tensor3D, state: StageState, ctx: SequenceContext): Promise<{ y: tf.Tensor3D; state: StageState }> {
    const { encoder, chunker, downsample, main, upsample, decoder } = this.parts;
    const encoded = await encoder.prefill(x, state.encoder, ctx);
    const e = encoded.y;
    const cut = await chunker.prefill(e, state.chunker, ctx);
    const planned = ctx.plan?.[0];
    if (planned) cut.segmentation.dispose();
    const seg = planned ?? cut.segmentation;
    ctx.record?.push({ segmentation: seg, context: ctx });
    const inner = seg.innerContext(ctx);
    const pooled = downsample.prefill(e, seg, state.downsample, ctx);
    const anyChunk = seg.numChunks.some((n) => n > 0);
    const core = anyChunk
      ? await main.prefill(pooled.chunks, state.main, inner)
      : { y: tf.zeros([ctx.batch, seg.maxChunks, main.dOut ?? main.dModel]) as tf.Tensor3D, state: state.main };
    const up = upsample.prefill(core.y, e, seg, state.upsample, ctx, cut.boundaryProb);
    const decoded = await decoder.prefill(up.y, state.decoder, ctx.with({ memory: { chunks: core.y, segmentation: seg } }));
    tf.dispose([e, pooled.chunks, core.y, up.y, ...(cut.boundaryProb ? [cut.boundaryProb] : [])]);
    inner.dispose();
    if (!ctx.record && !planned) seg.dispose();
    for (let b = 0; b < ctx.batch; b++) {
      const last = (ctx.lengths?.[b] ?? ctx.length) - 1;
      if (last >= 0) state.fired[b] = seg.boundaryMask[b * ctx.length + last]!;
    }
    return {
      y: decoded.y,
      state: {
        encoder: encoded.state,
        chunker: cut.state,
        downsample: pooled.state,
        main: core.state,
        upsample: up.state,
        decoder: decoded.state,
        fired: state.fired,
      },
    };
  }

  step(
    x: tf.Tensor2D,
    state: StageState,
    rows?: readonly number[],
    ids?: Int32Array,
  ): MaybePromise<{ y: tf.Tensor2D; state: StageState }> {
    const { encoder, chunker, downsample, main, upsample, decoder } = this.parts;
    const at = (i: number) => (rows ? rows[i]! : i);
    return after(encoder.step(x, state.encoder, rows), (encoded) => {
      const e = encoded.y;
      return after(chunker.step({ hidden: e, ids, emitted: this.emitted(ids) }, state.chunker, rows), ({ decision, state: chunkerState }) => {
        const firedRows: number[] = [];
        decision.boundary.forEach((b, i) => {
          state.fired[at(i)] = b;
          if (b) firedRows.push(at(i));
        });
        const pooled = downsample.step(e, decision, state.downsample, rows);
        const everyRow = firedRows.length === state.fired.length;
        const core = pooled.chunks
          ? main.step(pooled.chunks, state.main, everyRow ? undefined : firedRows)
          : { y: undefined, state: state.main };
        return after(core as MaybePromise<{ y: tf.Tensor2D | undefined; state: unknown }>, (core) => {
          const up = upsample.step(core.y, e, decision, state.upsample, rows);
          const listening = core.y && decoder.remember ? decoder.remember(core.y, state.decoder, firedRows) : state.decoder;
          return after(decoder.step(up.y, listening, rows), (decoded) => {
            tf.dispose([e, up.y]);
            pooled.chunks?.dispose();
            core.y?.dispose();
            return {
              y: decoded.y,
              state: {
                encoder: encoded.state,
                chunker: chunkerState,
                downsample: pooled.state,
                main: core.state,
                upsample: up.state,
                decoder: decoded.state,
                fired: state.fired,
              },
            };
          });
        });
      });
    });
  }

  private emitted(ids: Int32Array | undefined): Uint8Array | undefined {
    const { boundaryFrom } = this;
    return boundaryFrom === undefined || !ids ? undefined : Uint8Array.from(ids, (id) => (id >= boundaryFrom ? 1 : 0));
  }

  startDocument(state: StageState, rows: readonly number[]): StageState {
    const { encoder, chunker, downsample, main, upsample, decoder } = this.parts;
    // Parts that remember nothing of a document have nothing to forget.
    const begin = (part: Chunker | Downsampler | Upsampler, own: unknown): unknown => (part.startDocument ? part.startDocument(own, rows) : own);
    return {
      encoder: encoder.startDocument(state.encoder, rows),
      chunker: begin(chunker, state.chunker),
      downsample: begin(downsample, state.downsample),
      main: main.startDocument(state.main, rows),
      upsample: begin(upsample, state.upsample),
      decoder: decoder.startDocument(state.decoder, rows),
      fired: state.fired,
    };
  }
}

/** What every stage did in the last step, outermost first; empty for models without stages. */
export function firedByStage(state: unknown): Int8Array[] {
  const out: Int8Array[] = [];
  for (let s = state as Partial<StageState> | null; s?.fired instanceof Int8Array; s = s.main as Partial<StageState> | null) out.push(s.fired);
  return out;
}

/** Every two neighbours by name: who put one part in the place of another has to know which of them does not fit. */
function checkWiring({ encoder, chunker, downsample, main, upsample, decoder }: StageParts, emitsBoundaries: boolean): void {
  const problems: string[] = [];
  const join = (from: string, gives: number, to: string, takes: number | undefined) => {
    if (takes !== undefined && takes !== gives) problems.push(`${from} has width ${gives}, ${to} ${takes}`);
  };
  const [encoded, read] = [encoder.dOut ?? encoder.dModel, main.dOut ?? main.dModel];
  join('encoder', encoder.dModel, 'decoder', decoder.dModel);
  join("encoder's output", encoded, `what chunker ${nameOf(chunker)} reads`, chunker.dModel);
  join("encoder's output", encoded, `what downsample ${nameOf(downsample)} reads`, downsample.dEncoded);
  join(`a chunk of downsample ${nameOf(downsample)}`, downsample.dOut ?? encoded, `main network ${nameOf(main)}`, main.dModel);
  join(`main network ${nameOf(main)}`, read, `what upsample ${nameOf(upsample)} reads`, upsample.dMain);
  join(`main network ${nameOf(main)}`, read, `what decoder ${nameOf(decoder)} attends to`, decoder.dMemory);
  join("encoder's output", encoded, `what upsample ${nameOf(upsample)} adds`, upsample.dEncoded);
  join('decoder', decoder.dModel, `what upsample ${nameOf(upsample)} gives it`, upsample.dModel);
  const inner = main instanceof HierarchicalStage ? main.parts.chunker : undefined;
  if (inner?.reads === 'ids') problems.push(`chunker ${nameOf(inner)} of the inner stage reads ids, which only the outermost stage has`);
  if (chunker.lookahead > 0 && !emitsBoundaries) problems.push(`chunker ${nameOf(chunker)} looks ${chunker.lookahead} byte ahead, which needs a head that emits boundaries`);
  if (!(main.dModel > 0)) problems.push(`main network has width ${main.dModel}`);
  if (problems.length) throw new ConfigError(`[HierarchicalStage] parts do not fit: ${problems.join('; ')}.`);
}

const nameOf = (part: object): string => part.constructor.name;
