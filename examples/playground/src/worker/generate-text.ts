import { ByteTokenizer, generate, Rng, type HierarchicalLM } from '@bytelm/core';
import { boundaryDepths } from '../../../shared/src/model/chunk-rows.js';
import { shippedModel } from './models.js';
import type { Run } from './worker.js';

/** Continues a prompt byte by byte, saying where chunks close as soon as it is known. */
export const generateText: Run<'generate'> = async function* ({ model: name, prompt, maxBytes, temperature, seed }, signal) {
  const { model, vocabulary } = await shippedModel(name);
  const ids = new ByteTokenizer(vocabulary).encode(prompt);
  const drawnAtEnd = (model as HierarchicalLM).parts.chunker.reads === 'ids' || model.boundaryFrom !== undefined;
  let [count, began] = [0, performance.now()];
  const rate = () => count / ((performance.now() - began) / 1000);
  for await (const event of generate(model, [ids], { maxBytes, temperature, eos: vocabulary.eos, rng: new Rng(seed), signal })) {
    if (event.type === 'prompt') {
      const depths = boundaryDepths(event.segmentations, 0, ids.length);
      yield { type: 'prompt', bytes: Array.from(ids.subarray(1), (id) => id - vocabulary.offset), starts: depths.slice(1).flatMap((d, i) => (d ? [i] : [])) };
      began = performance.now();
    } else if (event.type === 'byte') {
      count++;
      yield { type: 'byte', byte: event.id - vocabulary.offset, bytesPerSecond: rate() };
    } else if (event.type === 'boundary') {
      if (event.fired[0]! > 0) yield { type: 'boundary', index: event.index, at: drawnAtEnd ? 'end' : 'start' };
    } else yield { type: 'end', reason: event.reason, bytes: count, bytesPerSecond: rate() };
  }
};
