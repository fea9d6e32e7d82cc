import * as tf from '@tensorflow/tfjs-core';
import { cloneState, disposeState, HierarchicalLM, LinearHead, Embedding, ResidualStack, Rng, Segmentation, SequenceContext, type BoundaryDecision, type Chunker, type SequenceLM } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { EntropyModel, type EntropyModelConfig } from './entropy-model.js';
import { CrossAttentionBlock } from './layers/cross-attention-block.js';
import { CrossAttentionDecoder } from './layers/cross-attention-decoder.js';
import { CrossAttentionPool } from './layers/cross-attention-pool.js';
import { CrossAttentionUnpool } from './layers/cross-attention-unpool.js';
import { LatentTransformer } from './layers/latent-transformer.js';
import { LayeredEncoder } from './layers/layered-encoder.js';
import { TransformerBlock } from './layers/transformer-block.js';

const [V, EOS] = [24, 2];
const SMALL: EntropyModelConfig = { dModel: 12, numLayers: 2, numHeads: 2, dIntermediate: 16, window: 4, vocabSize: V };

/** Patches end at every third id and with each document; a document's first id is a patch of its own. */
class ThirdIds implements Chunker<{ fresh: Uint8Array }> {
  readonly reads = 'ids';
  readonly lookahead = 0;
  initState = (B: number) => ({ fresh: new Uint8Array(B).fill(1) });
  segment(_: tf.Tensor3D | undefined, ctx: SequenceContext): Segmentation {
    return this.mark(ctx, new Uint8Array(ctx.batch).fill(1));
  }
  prefill(_: tf.Tensor3D | undefined, state: { fresh: Uint8Array }, ctx: SequenceContext) {
    const segmentation = this.mark(ctx, state.fresh);
    for (let b = 0; b < ctx.batch; b++) if (ctx.isReal(b, 0)) state.fresh[b] = 0;
    return { segmentation, state };
  }
  step({ ids }: { ids?: Int32Array | undefined }, state: { fresh: Uint8Array }, rows?: readonly number[]): { decision: BoundaryDecision; state: { fresh: Uint8Array } } {
    const boundary = Uint8Array.from(ids!, (id, i) => Number(state.fresh[rows?.[i] ?? i]! || closes(id)));
    ids!.forEach((_, i) => (state.fresh[rows?.[i] ?? i] = 0));
    return { decision: { boundary }, state };
  }
  startDocument(state: { fresh: Uint8Array }, rows: readonly number[]) {
    for (const row of rows) state.fresh[row] = 1;
    return state;
  }
  private mark(ctx: SequenceContext, fresh: Uint8Array): Segmentation {
    const mask = new Uint8Array(ctx.batch * ctx.length);
    for (let b = 0; b < ctx.batch; b++)
      for (let t = 0; t < ctx.length && ctx.isReal(b, t); t++) {
        const starts = t === 0 ? fresh[b] : ctx.isStart(b, t);
        mask[b * ctx.length + t] = Number(starts || closes(ctx.ids![b * ctx.length + t]!));
      }
    return new Segmentation(ctx.batch, ctx.length, mask, { drawnAt: 'end', continues: true });
  }
}
const closes = (id: number) => id % 3 === 0 || id === EOS;

/** A BLT in small: two encoder layers that are both read out, two slots a patch, a main network of another width. */
function byteLatentModel(): HierarchicalLM {
  const [D, DG, k] = [12, 20, 2];
  const layer = (seed: number) => new TransformerBlock({ dModel: D, numHeads: 2, dIntermediate: 16, windowSize: 4, interleaved: true, names: 'meta', initStd: 0.3 }, new Rng(seed));
  const encoder = new LayeredEncoder([0, 1].map((i) => new ResidualStack([layer(i)], { names: { layers: [`layers.${i}`], norm: false } })));
  const cross = (seed: number) => new CrossAttentionBlock({ dModel: D, numHeads: 3, slotsPerChunk: k }, new Rng(seed));
  const stack = new ResidualStack([cross(2), layer(3), cross(4), layer(5)], { names: { layers: ['cross_attn_layers.0', 'layers.0', 'cross_attn_layers.1', 'layers.1'], norm: 'norm' } });
  return new HierarchicalLM(
    {
      embed: new Embedding({ vocabSize: V, dModel: D }, new Rng(6)),
      encoder,
      chunker: new ThirdIds(),
      downsample: new CrossAttentionPool({ dModel: D, numHeads: 3, queriesPerChunk: k, layers: 2 }, new Rng(7)),
      main: new LatentTransformer({ dModel: DG, dInput: k * D, numLayers: 1, numHeads: 2, dIntermediate: 24, finalNorm: false, names: 'meta', initStd: 0.3 }, new Rng(8)),
      upsample: new CrossAttentionUnpool({ dModel: D, layers: 2 }),
      decoder: new CrossAttentionDecoder(stack, { dMemory: DG, slotsPerChunk: k }, new Rng(9)),
      head: new LinearHead({ vocabSize: V, dModel: D, initStd: 0.3 }, new Rng(10)),
    },
    { documentEnds: [EOS], stageNames: { encoder: 'local_encoder', downsample: 'local_encoder', main: 'global_transformer', decoder: 'local_decoder' } },
  );
}

/** Rows with ends of documents at places of their own, one of a single id behind another. */
function idsOf(B: number, L: number, ends: readonly (readonly number[])[]): Int32Array {
  const rng = new Rng(5);
  const ids = Int32Array.from({ length: B * L }, () => 3 + rng.nextInt(V - 3));
  ends.forEach((list, b) => list.forEach((t) => (ids[b * L + t] = EOS)));
  return ids;
}

const cut = (x: tf.Tensor3D, b: number, from: number, to: number) => tf.slice(x, [b, from, 0], [1, to - from, x.shape[2]]);

/** A prompt for some rows, then single ids of the rows that a pattern picks, against the full pass. */
async function expectStepsAsFullPass(model: SequenceLM, ids: Int32Array, [B, L]: readonly [number, number], prompts: readonly number[]): Promise<void> {
  const full = await model.logits(ids, new SequenceContext(B, L));
  const width = Math.max(...prompts);
  const piece = Int32Array.from({ length: B * width }, (_, i) => ids[Math.floor(i / width) * L + (i % width)]!);
  let { logits, state } = await model.prefill(piece, model.initState(B), new SequenceContext(B, width, { lengths: [...prompts] }));
  for (const [b, n] of prompts.entries()) if (n) await expectClose(cut(logits, b, 0, n), cut(full, b, 0, n), { atol: 2e-4, name: `prompt of row ${b}` });
  const at = [...prompts];
  const compared: [tf.Tensor, tf.Tensor][] = [];
  for (let n = 0; at.some((t) => t < L); n++) {
    const rows = at.map((_, b) => b).filter((b) => at[b]! < L && n % (B + 1) !== b);
    if (!rows.length) continue;
    if (n === 9) state = cloneState(state);
    const out = await model.step(Int32Array.from(rows, (b) => ids[b * L + at[b]!]!), state, rows.length === B ? undefined : rows);
    state = out.state;
    compared.push([out.logits, tf.concat(rows.map((b) => tf.reshape(cut(full, b, at[b]!, at[b]! + 1), [1, V])), 0)]);
    for (const b of rows) at[b]!++;
  }
  await expectClose(tf.concat(compared.map(([y]) => y), 0), tf.concat(compared.map(([, y]) => y), 0), { atol: 2e-4, name: 'steps' });
  disposeState(state);
}

describe.each(backendsForTest())('byte models on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const L = backend === 'webgpu' ? 18 : 40;

  it('an entropy model steps as it reads, over the ends of documents and of its window', async () => {
    const model = new EntropyModel({ ...SMALL, resetOnNewline: true, newlineId: 5 }, new Rng(1));
    await expectStepsAsFullPass(model, idsOf(3, L, [[6, 7, 13], [L - 1], []]), [3, L], [8, 1, 0]);
  });

  it('a byte latent transformer steps as it reads: rows at patches of their own, ends of documents, both encoder layers read out', async () => {
    await expectStepsAsFullPass(byteLatentModel(), idsOf(3, L, [[6, 7, 13], [11], []]), [3, L], [8, 2, 0]);
  });

  it('nothing flows over the end of a document, nor a newline where that is asked for', async () => {
    const documents = idsOf(1, 12, [[4]]);
    const tail = documents.slice(5);
    for (const model of [new EntropyModel(SMALL, new Rng(1)), byteLatentModel()]) {
      const whole = await model.logits(documents, new SequenceContext(1, 12));
      await expectClose(cut(whole, 0, 5, 12), await model.logits(tail, new SequenceContext(1, 7)), { atol: 1e-4 });
    }
    const lines = documents.map((id, t) => (t === 4 ? 14 : id === 14 ? 13 : id));
    const [plain, reset] = [false, true].map((resetOnNewline) => new EntropyModel({ ...SMALL, resetOnNewline }, new Rng(1)));
    const alone = await plain!.logits(lines.slice(5), new SequenceContext(1, 7));
    await expectClose(cut(await reset!.logits(lines, new SequenceContext(1, 12)), 0, 5, 12), alone, { atol: 1e-4 });
    const seen = cut(await plain!.logits(lines, new SequenceContext(1, 12)), 0, 5, 12);
    expect((await tf.max(tf.abs(tf.sub(seen, alone))).data())[0]).toBeGreaterThan(1e-3);
  });

  it('every parameter gets a gradient, and the loss falls along it', async () => {
    for (const model of [new EntropyModel(SMALL, new Rng(1)), byteLatentModel()]) {
      const batch = { ids: idsOf(2, 13, [[5], []]), batch: 2, length: 13 };
      const { loss, parts, grads } = await model.lossAndGrads(batch);
      const parameters = model.parameters();
      expect([...grads.keys()].sort()).toEqual([...parameters.keys()].sort());
      for (const [name, g] of grads) expect((await tf.max(tf.abs(g)).data())[0], name).toBeGreaterThan(0);
      for (const [name, g] of grads) tf.tidy(() => parameters.get(name)!.assign(tf.sub(parameters.get(name)!, tf.mul(g, 0.02)) as never));
      const after = await model.lossAndGrads(batch);
      expect((await after.loss.data())[0]).toBeLessThan((await loss.data())[0]!);
      expect(Object.keys(parts)).toContain('crossEntropy');
    }
  });

  it('leaks nothing', async () => {
    for (const model of [new EntropyModel(SMALL, new Rng(1)), byteLatentModel()]) {
      const ids = idsOf(2, 9, [[3], []]);
      const run = async () => {
        const ctx = new SequenceContext(2, 9);
        const { logits, state } = await model.prefill(ids, model.initState(2), ctx);
        tf.dispose(logits);
        ctx.dispose();
        let next = state;
        for (let t = 0; t < 9; t++) {
          const out = await model.step(Int32Array.of(t === 4 ? EOS : 6 + t), next, [t % 2]);
          out.logits.dispose();
          next = out.state;
        }
        disposeState(next);
        const { loss, parts, grads } = await model.lossAndGrads({ ids, batch: 2, length: 9 });
        tf.dispose([loss, ...grads.values(), ...Object.values(parts).filter((p) => p instanceof tf.Tensor)]);
      };
      await run();
      await expectNoLeak(run);
    }
  });
});

describe('an entropy model', () => {
  beforeAll(() => useBackend('cpu'));

  it('has the published sizes and names', () => {
    const { dModel, numLayers, numHeads } = { dModel: 768, numLayers: 14, numHeads: 12 };
    const one = new EntropyModel({ dModel, numLayers: 1, numHeads });
    const layer = [...one.parameters()].filter(([name]) => name.startsWith('layers.0.')).reduce((n, [, v]) => n + v.size, 0);
    expect(numLayers * layer + dModel).toBe(14 * (4 * 768 * 768 + 3 * 768 * 2048 + 2 * 768) + 768);
    expect([...one.parameters().keys()].sort()).toEqual(
      ['attention.wk', 'attention.wo', 'attention.wq', 'attention.wv', 'attention_norm', 'feed_forward.w1', 'feed_forward.w2', 'feed_forward.w3', 'ffn_norm'].map((n) => `layers.0.${n}.weight`).concat(['norm.weight', 'output.weight', 'tok_embeddings.weight']),
    );
    one.dispose();
  });

  it.each([
    ['a window of nothing', { window: 0 }, /window: expected a positive whole number .* got 0/],
    ['ends that are no ids', { documentEnds: [300] }, /300 is no id in 0\.\.23/],
    ['names that nobody publishes', { names: 'hnet' as never }, /names: expected one of meta, llama, got "hnet"/],
    ['heads that do not divide the width', { numHeads: 5 }, /numHeads 5 does not divide dModel 12/],
  ])('refuses %s', (_, change, message) => {
    expect(() => new EntropyModel({ ...SMALL, ...change })).toThrow(message);
  });

  it('a layered encoder refuses layers of other widths, and none', () => {
    expect(() => new LayeredEncoder([])).toThrow(/no layers/);
    const wide = new LatentTransformer({ dModel: 8, dInput: 4, numLayers: 1, numHeads: 2 });
    expect(() => new LayeredEncoder([wide])).toThrow(/layer 0 maps width 4 to 8/);
  });

  it('has the gradient of finite differences in its embeddings', async () => {
    const model = new EntropyModel(SMALL, new Rng(1));
    const ctx = new SequenceContext(1, 6, { ids: Int32Array.from([3, 7, 2, 9, 4, 4]) });
    const x = new Rng(2).normal([1, 6, 12]);
    await checkGradients((h) => model.backbone.forward(h as tf.Tensor3D, ctx), [x], { samples: 5 });
  });
});
