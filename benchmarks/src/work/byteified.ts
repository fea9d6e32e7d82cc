import type * as tf from '@tensorflow/tfjs-core';
import { argmax, disposeState, Rng, SequenceContext, type SequenceLM } from '@bytelm/core';
import { BOLMO_PRESETS, createBolmo, findSubwords, SuffixTrie, type BolmoConfig } from '@bytelm/example-bolmo';
import { createSourceLM } from '@bytelm/example-olmo';
import type { ByteifiedJob } from '../worker.js';
import { cpuClock, rateOf, type Rate } from './measure.js';

/** Bytes of text that a subword stands for, on average; and its vocabulary, whose table and head a byteified model does without. */
export const BYTES_PER_TOKEN = 4.4;
export const SUBWORDS = 32_000;

/** Bodies of source models. */
export const SIZES: Readonly<Record<string, { dModel: number; numLayers: number; numHeads: number; dIntermediate: number; localIntermediate: number }>> = {
  '6M': { dModel: 256, numLayers: 8, numHeads: 4, dIntermediate: 704, localIntermediate: 352 },
  '85M': { dModel: 768, numLayers: 12, numHeads: 12, dIntermediate: 2048, localIntermediate: 1056 },
  tiny: { dModel: 32, numLayers: 2, numHeads: 2, dIntermediate: 48, localIntermediate: 24 },
};

export interface ByteifiedResult extends Rate {
  /** Positions of the body that were decoded, a byte: tokens or patches. */
  bodyStepsPerByte: number;
  parameters: number;
}

/** Bytes per second of decoding 256 bytes behind 512, by the source model or by its byteified form with patches of a given length. Weights are random. */
export async function benchByteified({ size, patch, seconds }: ByteifiedJob, { prompt = 512, fresh = 256 } = {}): Promise<ByteifiedResult> {
  const isSource = patch === 'source';
  const config = configOf(size);
  const model: SequenceLM = isSource ? createSourceLM({ ...config.body, vocabSize: SUBWORDS }, new Rng(1)) : await byteified(config);
  const perStep = isSource ? BYTES_PER_TOKEN : 1;
  const [read, steps] = [prompt, fresh].map((n) => Math.max(1, Math.round(n / perStep))) as [number, number];
  const rng = new Rng(2);
  const ids = Int32Array.from({ length: read + steps }, () => (isSource ? Math.floor(SUBWORDS * rng.next()) : 4 + Math.floor(256 * rng.next())));
  // Where patches end is forced: as if the head had emitted it.
  const fed = isSource ? ids : ids.map((id, t) => (Math.floor((t + 1) / patch) > Math.floor(t / patch) ? id + 260 : id));
  const spent: number[] = [];
  let fired = 0;
  for (let run = 0, end = Infinity; run < 2 || performance.now() < end; run++) {
    let state = await promptState(model, ids.subarray(0, read), fed.subarray(0, read), isSource);
    fired = 0;
    for (let t = read; t < read + steps; t++) {
      const start = performance.now();
      const out = await model.step(fed.subarray(t, t + 1), state);
      state = out.state;
      argmax(await out.logits.data());
      out.logits.dispose();
      if (run > 0) spent.push((performance.now() - start) / 1000);
      fired += isSource || out.fired[0]![0] === 1 ? 1 : 0;
    }
    disposeState(state);
    if (run > 0) continue;
    end = performance.now() + 1000 * seconds;
    cpuClock.start();
  }
  const parameters = model.numParameters;
  model.dispose();
  return { ...rateOf(spent, perStep), bodyStepsPerByte: fired / steps / perStep, parameters };
}

/** A byteified model's prompt goes in byte by byte, so that its patches are as long as those that follow. */
async function promptState(model: SequenceLM, ids: Int32Array, fed: Int32Array, isSource: boolean): Promise<ReturnType<SequenceLM['initState']>> {
  if (isSource) {
    const { logits, state } = await model.prefill(ids, model.initState(1), new SequenceContext(1, ids.length, { ids }));
    logits.dispose();
    return state;
  }
  let state = model.initState(1);
  for (let t = 0; t < fed.length; t++) {
    const out: { logits: tf.Tensor; state: typeof state } = await model.step(fed.subarray(t, t + 1), state);
    out.logits.dispose();
    state = out.state;
  }
  return state;
}

/** The golden cases' tokenizer gives the suffixes that bytes look up. */
function configOf(size: string): BolmoConfig {
  const { dModel, numLayers, numHeads, dIntermediate, localIntermediate } = SIZES[size]!;
  const { config } = BOLMO_PRESETS['bolmo-10M']!;
  const each = <T>(value: T) => Array.from({ length: numLayers }, () => value);
  const body = { ...config.body, dModel, numLayers, numHeads, numKvHeads: numHeads, headDim: dModel / numHeads, dIntermediate, windows: each(-1), rotaryScaling: each(null) };
  return { ...config, body, local: { ...config.local, numHeads, dIntermediate: localIntermediate } };
}

async function byteified(config: BolmoConfig): Promise<SequenceLM> {
  const trie = SuffixTrie.fromVocabulary(await findSubwords({ name: 'byteified', config }));
  return createBolmo(config, { trie, rng: new Rng(1) });
}
