import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { BoundaryEmittingLM, SequenceContext, withWeightFormat, type SequenceLM, type StageRecord, type WeightFormat } from '@bytelm/core';
import { loadParameters, openSafetensors } from '@bytelm/core/io';
import { boundaryLoss, BOLMO_VOCABULARY } from '@bytelm/distill';
import { createBolmo, findBolmo, findSubwords, SuffixTrie } from '@bytelm/example-bolmo';
import { findBLT, loadBLT } from '@bytelm/example-blt';
import { createHNet, type HNetConfig } from '@bytelm/example-hnet';

/** A model as the peers save it, and how it numbers bytes. */
export interface LoadedModel {
  model: SequenceLM;
  /** Added to each byte. */
  offset: number;
  bos: number;
  /** What decoding is fed of a known text where that is not its ids. */
  feed?: (ids: Int32Array) => Promise<Int32Array>;
}

export interface ModelFiles {
  /** Folder with model.safetensors and config.json. */
  weights: string;
  format?: WeightFormat | undefined;
  /** Of the ratio loss. */
  ratioTargets: readonly number[];
  /** Folder that paths in the configuration are relative to. */
  peers: string;
}

/** Reads a folder with model.safetensors and config.json of any family; the config of a BLT or Bolmo says what it is. */
export async function loadModel(files: ModelFiles): Promise<LoadedModel> {
  const { weights, format = 'float32', ratioTargets } = files;
  const config = JSON.parse(readFileSync(join(weights, 'config.json'), 'utf8')) as { model_type?: string };
  if (config.model_type === 'blt') return { model: await loadBLT(await findBLT(weights), { weights: format }), offset: 4, bos: 1 };
  if (config.model_type === 'bolmo') return bolmo(files);
  const model = withWeightFormat(format, () => createHNet(config as HNetConfig, { ratioTargets }));
  await fill(model, weights);
  return { model, offset: 0, bos: 254 };
}

async function fill(model: SequenceLM, folder: string): Promise<void> {
  const source = await openSafetensors(join(folder, 'model.safetensors'));
  await loadParameters(model, source);
  await source.close();
}

/** Trained as in stage 2: cross-entropy on bytes with boundaries, and four times that of the boundaries, which lie before spaces. */
async function bolmo({ weights, peers, format = 'float32' }: ModelFiles): Promise<LoadedModel> {
  const source = await findBolmo(weights);
  const trie = SuffixTrie.fromVocabulary(await findSubwords({ ...source, folder: peers }));
  const { parts, options } = withWeightFormat(format, () => createBolmo(source.config, { trie }));
  const model = new BoundaryEmittingLM(parts, { ...options, auxiliaryLoss: (records) => ({ boundaries: spaceBoundaryLoss(records[0]!) }) });
  await fill(model, weights);
  const feed = async (ids: Int32Array) => {
    const ctx = new SequenceContext(1, ids.length, { ids });
    const [seg] = await model.plan(ctx);
    const fused = ids.map((id, t) => (seg!.boundaryMask[t] ? id + model.boundaryFrom : id));
    seg!.dispose();
    ctx.dispose();
    return fused;
  };
  return { model, offset: BOLMO_VOCABULARY.offset, bos: BOLMO_VOCABULARY.bos, feed };
}

/** The last position of each row is not decided: what it would need lies behind it. */
function spaceBoundaryLoss({ context: { batch: B, length: L, ids }, boundaryProb }: StageRecord): tf.Scalar {
  const space = 0x20 + BOLMO_VOCABULARY.offset;
  const [labels, mask] = [new Float32Array(B * L), new Float32Array(B * L)];
  for (let i = 0; i < B * L; i++) {
    mask[i] = (i + 1) % L ? 1 : 0;
    labels[i] = mask[i] && ids![i + 1] === space ? 1 : 0;
  }
  const logProb = tf.log(tf.maximum(boundaryProb!, tf.fill([B, L], 5e-4)));
  return tf.mul(boundaryLoss(logProb, { labels: tf.tensor2d(labels, [B, L]), mask: tf.tensor2d(mask, [B, L]) }), 4) as tf.Scalar;
}
