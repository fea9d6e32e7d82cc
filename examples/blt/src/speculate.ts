import * as tf from '@tensorflow/tfjs-core';
import {
  checkSamplingOptions,
  cloneState,
  ConfigError,
  DataError,
  disposeState,
  Rng,
  sample,
  Segmentation,
  SequenceContext,
  type HierarchicalLM,
  type SamplingOptions,
  type SequenceLMState,
  type StageState,
} from '@bytelm/core';

export interface SpeculateOptions extends SamplingOptions {
  /** Ids to generate at most. */
  maxBytes: number;
  /** Ids that are drafted beyond a boundary at most. The model needs `cacheSlack` of as many. Default 8. */
  draftLength?: number;
  /** Generation stops at this id; it is not returned. Default 2; `null` to ignore. */
  eos?: number | null;
  /** As in `generate`: with the same one the same bytes come out. Default `new Rng(0)`. */
  rng?: Rng;
}

export interface SpeculationReport {
  ids: Int32Array;
  /** Ids that were drafted, and those of them that plain decoding would have chosen, too. */
  drafted: number;
  accepted: number;
  acceptedShare: number;
  /** Patches that closed: so often plain decoding would have run the main network. */
  patches: number;
  /** How often it was run. */
  mainPasses: number;
  mainPassesSaved: number;
}

const ROW = [0] as const;

/**
 * Self-speculation: where a patch closes, the local decoder goes on with what it still remembers and drafts some bytes; then the main network reads all
 * patches that closed meanwhile in one pass, the decoder reads the drafted bytes again with the new memory, and every byte that plain decoding
 * would have chosen stays. The output is that of `generate`, greedy or sampled: drafts only decide how much is read at once.
 *
 * For one prompt and a model whose patcher reads ids.
 *
 * @throws ConfigError, DataError for a model that cannot take drafts back.
 * @source BLT-S of "Fast Byte Latent Transformer", arXiv 2605.08044.
 */
export async function speculate(model: HierarchicalLM, prompt: Int32Array, options: SpeculateOptions): Promise<SpeculationReport> {
  checkSamplingOptions(options);
  if (!prompt.length) throw new DataError('[speculate] the prompt is empty. Hint: start it with the BOS id (ByteTokenizer does).');
  const { draftLength = 8, maxBytes, eos = 2, rng = new Rng(0) } = options;
  if (!(Number.isInteger(draftLength) && draftLength >= 1)) throw new ConfigError(`[speculate] draftLength: expected a whole number from 1, got ${draftLength}.`);
  const run = new Speculation(model, options, rng.fork('row 0'), draftLength);
  try {
    await run.read(prompt);
    const ids: number[] = [];
    while (ids.length < maxBytes && run.pending !== eos) {
      ids.push(run.pending);
      if (ids.length < maxBytes) for (const id of await run.advance(maxBytes - ids.length, eos)) ids.push(id);
    }
    const { drafted, accepted, patches, mainPasses } = run.counts;
    return { ids: Int32Array.from(ids), drafted, accepted, acceptedShare: drafted ? accepted / drafted : 0, patches, mainPasses, mainPassesSaved: patches - mainPasses };
  } finally {
    run.dispose();
  }
}

class Speculation {
  readonly counts = { drafted: 0, accepted: 0, patches: 0, mainPasses: 0 };
  /** Chosen, but not read yet. */
  pending = 0;
  private state: SequenceLMState;
  private readonly ends: ReadonlySet<number>;

  constructor(
    private readonly model: HierarchicalLM,
    private readonly sampling: SamplingOptions,
    private readonly rng: Rng,
    private readonly draftLength: number,
  ) {
    const { encoder, decoder, main, chunker } = model.parts;
    const cannot = Object.entries({ encoder, decoder, main }).flatMap(([name, part]) => (part.rollback ? [] : [name]));
    if (chunker.reads !== 'ids') cannot.push('chunker (it does not read ids)');
    if (!decoder.remember) cannot.push('decoder (it does not attend to chunks)');
    if (cannot.length) throw new ConfigError(`[speculate] these parts cannot take drafts back: ${cannot.join(', ')}. Hint: this is for BLTs.`);
    this.ends = new Set(model.options.documentEnds);
    this.state = model.initState(1);
  }

  private get stage(): StageState {
    return this.state.backbone as StageState;
  }

  async read(prompt: Int32Array): Promise<void> {
    const ctx = new SequenceContext(1, prompt.length, { ids: prompt });
    const { logits, state } = await this.model.prefill(prompt, this.state, ctx);
    this.state = state;
    ctx.dispose();
    this.pending = await this.choose(logits, prompt.length - 1);
  }

  /** Reads the pending id and chooses the next one. @returns ids of a draft that turned out right, to be emitted before `pending`. */
  async advance(room: number, eos: number | null): Promise<number[]> {
    const id = this.pending;
    // Where documents end, states begin anew: the plain way.
    if (this.ends.has(id) || this.state.ended?.[0]) {
      const out = await this.model.step(Int32Array.of(id), this.state);
      this.state = out.state;
      this.countPatch(out.fired[0]![0]!);
      this.pending = await this.choose(out.logits, 0);
      return [];
    }
    const { parts } = this.model;
    const e = await this.encode(id);
    const cut = await parts.chunker.step({ ids: Int32Array.of(id) }, this.stage.chunker);
    this.stage.chunker = cut.state;
    if (cut.decision.boundary[0]) return this.speculateFrom(id, e, Math.min(this.draftLength, room), eos);
    this.stage.downsample = parts.downsample.step(e, cut.decision, this.stage.downsample).state;
    this.pending = await this.choose(await this.decode(e), 0);
    e.dispose();
    return [];
  }

  /** `id` closes a patch. Its encoding is `first`. */
  private async speculateFrom(id: number, first: tf.Tensor2D, length: number, eos: number | null): Promise<number[]> {
    const { parts } = this.model;
    const before = { embed: [cloneState(this.state.embed)], downsample: cloneState(this.stage.downsample) };
    const encoded = [first];
    const ids = [id];
    // The draft takes the random numbers that the choice proper takes later: it then chooses alike as often as it can.
    const stream = this.rng.state;
    for (let drafts = 0; drafts < length; drafts++) {
      const draft = await this.choose(await this.decode(encoded.at(-1)!), 0);
      if (draft === eos || this.ends.has(draft)) break;
      ids.push(draft);
      encoded.push(await this.encode(draft));
      before.embed.push(cloneState(this.state.embed));
    }
    this.rng.state = stream;
    const drafted = ids.length - 1;
    // The decoder has read all but the last, or all when it stopped by itself.
    const read = Math.min(length, drafted + 1);
    this.stage.decoder = parts.decoder.rollback!(this.stage.decoder, ROW, [read]);

    const known = cloneState(this.stage.chunker);
    const mask = Uint8Array.of(1, ...(await this.boundaries(ids.slice(1))));
    const pass = await this.verify(ids, encoded, mask);
    const right = await this.countRight(pass.logits, ids);
    await this.keep(ids, encoded, mask, right, pass.main, { ...before, chunker: known });
    this.counts.drafted += drafted;
    this.counts.accepted += right;
    tf.dispose([...encoded, pass.main]);
    return ids.slice(1, right + 1);
  }

  /** Where patches close within ids that follow the boundary. */
  private async boundaries(ids: readonly number[]): Promise<Uint8Array> {
    if (!ids.length) return new Uint8Array(0);
    const ctx = new SequenceContext(1, ids.length, { ids: Int32Array.from(ids) });
    const cut = await this.model.parts.chunker.prefill(undefined, this.stage.chunker, ctx);
    this.stage.chunker = cut.state;
    const mask = cut.segmentation.boundaryMask.slice();
    cut.segmentation.dispose();
    ctx.dispose();
    return mask;
  }

  /** One pass of everything behind the encoder over the boundary id and the draft: logits (1, n, V), and the main network's outputs. */
  private async verify(ids: readonly number[], encoded: readonly tf.Tensor2D[], mask: Uint8Array): Promise<{ logits: tf.Tensor; main: tf.Tensor3D }> {
    const { main, upsample, decoder } = this.model.parts;
    const { e, seg, ctx, pooled } = this.pool(ids, encoded, mask);
    const inner = seg.innerContext(ctx);
    const core = await main.prefill(pooled, this.stage.main, inner);
    this.stage.main = core.state;
    this.counts.mainPasses++;
    const up = upsample.prefill(core.y, e, seg, this.stage.upsample, ctx);
    this.stage.upsample = up.state;
    const decoded = await decoder.prefill(up.y, this.stage.decoder, ctx.with({ memory: { chunks: core.y, segmentation: seg } }));
    this.stage.decoder = decoded.state;
    const logits = this.model.head.forward(decoded.y);
    tf.dispose([e, pooled, up.y, decoded.y]);
    inner.dispose();
    ctx.dispose();
    seg.dispose();
    return { logits, main: core.y };
  }

  /** Patches of the ids, appended to the pooling's state. The caller frees what it gets. */
  private pool(ids: readonly number[], encoded: readonly tf.Tensor2D[], mask: Uint8Array) {
    const n = ids.length;
    const ctx = new SequenceContext(1, n, { ids: Int32Array.from(ids) });
    const seg = new Segmentation(1, n, mask, { drawnAt: 'end', continues: true });
    const e = tf.tidy(() => tf.expandDims(tf.concat([...encoded], 0), 0) as tf.Tensor3D);
    const out = this.model.parts.downsample.prefill(e, seg, this.stage.downsample, ctx);
    this.stage.downsample = out.state;
    return { ctx, seg, e, pooled: out.chunks };
  }

  /** How many drafted ids are those that the verified logits choose; the id after them becomes `pending`. */
  private async countRight(logits: tf.Tensor, ids: readonly number[]): Promise<number> {
    const V = this.model.vocabSize;
    const values = (await logits.data()) as Float32Array;
    logits.dispose();
    for (let t = 0; ; t++) {
      this.pending = sample(values.subarray(t * V, (t + 1) * V), this.sampling, this.rng);
      if (t + 1 >= ids.length || ids[t + 1] !== this.pending) return t;
    }
  }

  /** Takes back what follows the first `right` drafted ids. */
  private async keep(
    ids: readonly number[],
    encoded: readonly tf.Tensor2D[],
    mask: Uint8Array,
    right: number,
    main: tf.Tensor3D,
    before: { embed: unknown[]; downsample: unknown; chunker: unknown },
  ): Promise<void> {
    const { parts } = this.model;
    const kept = right + 1;
    const wrong = ids.length - kept;
    const closed = mask.subarray(0, kept).reduce((a, b) => a + b, 0);
    this.counts.patches += closed;
    if (!wrong) {
      disposeState([before.downsample, before.chunker]);
      return;
    }
    const { stage } = this;
    this.state.embed = before.embed[right];
    stage.encoder = parts.encoder.rollback!(stage.encoder, ROW, [wrong]);
    stage.main = parts.main.rollback!(stage.main, ROW, [mask.subarray(kept).reduce((a, b) => a + b, 0)]);
    stage.decoder = parts.decoder.rollback!(stage.decoder, ROW, [wrong]);
    const last = tf.tidy(() => tf.reshape(tf.slice(main, [0, closed - 1, 0], [1, 1, -1]), [1, -1]) as tf.Tensor2D);
    stage.decoder = parts.decoder.remember!(last, stage.decoder, ROW);
    last.dispose();
    // What is small is read again from where it was.
    disposeState([stage.downsample, stage.chunker]);
    stage.downsample = before.downsample;
    stage.chunker = before.chunker;
    await this.boundaries(ids.slice(1, kept));
    const again = this.pool(ids.slice(0, kept), encoded.slice(0, kept), mask.slice(0, kept));
    tf.dispose([again.e, again.pooled]);
    again.seg.dispose();
    again.ctx.dispose();
  }

  private async encode(id: number): Promise<tf.Tensor2D> {
    const embedded = this.model.embed.step(Int32Array.of(id), this.state.embed);
    this.state.embed = embedded.state;
    const out = await this.model.parts.encoder.step(embedded.y, this.stage.encoder);
    this.stage.encoder = out.state;
    embedded.y.dispose();
    return out.y;
  }

  /** Logits behind an encoded byte, with the memory as it is. */
  private async decode(e: tf.Tensor2D): Promise<tf.Tensor> {
    const { upsample, decoder } = this.model.parts;
    const up = upsample.step(undefined, e, { boundary: Uint8Array.of(0) }, this.stage.upsample);
    this.stage.upsample = up.state;
    const out = await decoder.step(up.y, this.stage.decoder);
    this.stage.decoder = out.state;
    const logits = this.model.head.forward(out.y);
    tf.dispose([up.y, out.y]);
    return logits;
  }

  private async choose(logits: tf.Tensor, position: number): Promise<number> {
    const V = this.model.vocabSize;
    const values = (await logits.data()) as Float32Array;
    logits.dispose();
    return sample(values.subarray(position * V, (position + 1) * V), this.sampling, this.rng);
  }

  private countPatch(fired: number): void {
    if (fired === 1) {
      this.counts.patches++;
      this.counts.mainPasses++;
    }
  }

  dispose(): void {
    disposeState(this.state);
  }
}
