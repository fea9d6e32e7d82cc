import type { BLTConfig, EntropyModelConfig, StackConfig } from './config/index.js';

/**
 * Names and shapes of every stored tensor of a configuration, by the original's names, without making one: what a checkpoint of it must hold.
 * The entropy model is a model of its own: `entropyParameterShapes`.
 */
export function parameterShapes(config: BLTConfig): Map<string, number[]> {
  const { vocabSize, encoder, global, decoder, crossAttention: cross } = config;
  const k = cross.queriesPerChunk;
  const out = new Map<string, number[]>();
  out.set('local_encoder.tok_embeddings.weight', [vocabSize, encoder.dModel]);
  for (let t = 0; t < numHashTables(config); t++) out.set(hashTableName(t), [config.hash.vocabularySize, encoder.dModel]);
  layers(out, 'local_encoder.layers', encoder);
  out.set('local_encoder.patch_embedding_projection.weight', [k * encoder.dModel, encoder.dModel]);
  crossLayers(out, 'local_encoder', cross.encoderLayers === 'all' ? encoder.numLayers : 1, encoder.dModel);
  if (hasTokenProjection(config)) out.set('global_transformer.token_embedding_projection.weight', [global.dModel, k * encoder.dModel]);
  layers(out, 'global_transformer.layers', global);
  out.set('local_decoder.patch_embedding_projection.weight', [k * decoder.dModel, global.dModel]);
  crossLayers(out, 'local_decoder', cross.decoderLayers === 'all' ? decoder.numLayers : 1, decoder.dModel);
  layers(out, 'local_decoder.layers', decoder);
  out.set('local_decoder.norm.weight', [decoder.dModel]);
  out.set('local_decoder.output.weight', [vocabSize, decoder.dModel]);
  return out;
}

/** The same for an entropy model. */
export function entropyParameterShapes(config: EntropyModelConfig): Map<string, number[]> {
  const out = new Map<string, number[]>([['tok_embeddings.weight', [config.vocabSize, config.dModel]]]);
  layers(out, 'layers', config);
  out.set('norm.weight', [config.dModel]);
  out.set('output.weight', [config.vocabSize, config.dModel]);
  return out;
}

/** One table for each n-gram size of each function. */
export const numHashTables = ({ hash }: Pick<BLTConfig, 'hash'>): number => hash.sizes.length * hash.numFunctions;
export const hashTableName = (table: number): string => `encoder_hash_tok_embedding.${table}.weight`;

/** The main network's input is projected only where the patches' vectors have another width. */
export const hasTokenProjection = ({ crossAttention, encoder, global }: BLTConfig): boolean => crossAttention.queriesPerChunk * encoder.dModel !== global.dModel;

function layers(out: Map<string, number[]>, at: string, { dModel: D, numLayers, numHeads, numKvHeads, dIntermediate: F }: StackConfig): void {
  const kv = (D / numHeads) * numKvHeads;
  for (let i = 0; i < numLayers; i++) {
    const layer = `${at}.${i}`;
    out.set(`${layer}.attention_norm.weight`, [D]);
    for (const [w, rows] of [['wq', D], ['wk', kv], ['wv', kv], ['wo', D]] as const) out.set(`${layer}.attention.${w}.weight`, [rows, D]);
    out.set(`${layer}.ffn_norm.weight`, [D]);
    for (const w of ['w1', 'w3']) out.set(`${layer}.feed_forward.${w}.weight`, [F, D]);
    out.set(`${layer}.feed_forward.w2.weight`, [D, F]);
  }
}

function crossLayers(out: Map<string, number[]>, part: string, count: number, D: number): void {
  for (let i = 0; i < count; i++) {
    const layer = `${part}.cross_attn_layers.${i}`;
    for (const norm of ['cross_attn_norm_q', 'cross_attn_norm_kv']) out.set(`${layer}.${norm}.weight`, [D]);
    for (const w of ['wq', 'wk', 'wv', 'wo']) out.set(`${layer}.${w}.weight`, [D, D]);
  }
}
