import { BYTE_VOCABULARIES, DataError, Rng } from '@bytelm/core';
import { bytesInMemory, ByteWindows, trainLoop, wsd } from '@bytelm/core/train';
import type { HNetConfig } from '../../../hnet/src/config.js';
import { createHNet } from '../../../hnet/src/model.js';
import { hnetOptimizer } from '../../../hnet/src/train/parameter-groups.js';
import { chunkRow } from '../../../shared/src/model/chunk-rows.js';
import type { Run } from './worker.js';

/** Small enough to move while one watches, on a laptop without a GPU too. */
const CONFIG: HNetConfig = {
  arch_layout: ['m1', ['T2'], 'm1'],
  d_model: [64, 128],
  d_intermediate: [0, 256],
  vocab_size: 256,
  ssm_cfg: { chunk_size: 64, d_conv: 4, d_state: 32, expand: 2 },
  attn_cfg: { num_heads: [1, 2], rotary_emb_dim: [32, 32], window_size: [-1, -1] },
  tie_embeddings: false,
};
const BATCH = 4;
const LENGTH = 128;
const PROBE_EVERY = 10;

/** Trains an H-Net from scratch on the visitor's text; between steps it shows how the model cuts a probe. */
export const trainTiny: Run<'train'> = async function* ({ text, steps, probe, seed }, signal) {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length < 4 * LENGTH) throw new DataError(`[train] the text has ${bytes.length} bytes, at least ${4 * LENGTH} are needed. Hint: paste a page of a book.`);
  const { hnet } = BYTE_VOCABULARIES;
  const model = createHNet(CONFIG, { rng: new Rng(seed), ratioTargets: [4], padChunksTo: 16 });
  const optimizer = hnetOptimizer(model, CONFIG, { lrMultipliers: [2, 1], weightDecay: 0.1, decayRule: 'matrices' });
  const batches = new ByteWindows(bytesInMemory(bytes), { length: LENGTH, batch: BATCH, seed, bos: hnet.bos });
  try {
    yield { type: 'model', parameters: model.numParameters, bytes: bytes.length };
    for await (const event of trainLoop({ model, batches, optimizer, schedule: wsd({ peak: 3e-3, steps, warmup: 0.05, decay: 0.2 }), steps, signal })) {
      if (event.type !== 'step') continue;
      const { step, parts, bytesPerSecond } = event;
      yield { type: 'step', step, bitsPerByte: parts.crossEntropy! / Math.LN2, bytesPerChunk: parts.positionsPerChunk0!, bytesPerSecond };
      if (step === 1 || step % PROBE_EVERY === 0) yield { type: 'probe', step, row: await chunkRow(model, hnet, probe) };
    }
  } finally {
    optimizer.dispose();
    model.dispose();
  }
};
