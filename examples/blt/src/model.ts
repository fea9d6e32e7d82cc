/**
 * BLT (Pagnoni et al., arXiv 2412.09871), as facebookresearch/blt computes it.
 *
 * Notable features:
 * - Bytes are read by a small local encoder, patches by a large transformer: the large one takes one step per patch.
 * - Patches end where the next byte is hard to guess, by the entropies of a small byte model of its own (or by any rule on bytes: spaces, a stride).
 * - A byte's vector is its embedding plus those of the n-grams that end with it, found by hashing into large tables.
 * - Bytes → patches and patches → bytes by cross-attention, with k vectors a patch; queries of a patch start from the maximum over its bytes.
 *   Residuals around cross-attention are double, in the published code and so in its checkpoints.
 * - A byte sees the outputs of the patches that were complete when it was known. The decoder starts from the encoder's output.
 * - The main network has no norm at its end. Rotary positions run in pairs (2i, 2i + 1).
 * - An EOS ends the document: nothing after it sees anything before it, and patches begin anew.
 */
import { ConfigError, HierarchicalLM, LinearHead, ResidualStack, withWeightFormat, type Chunker, type ResidualBlock, type Rng, type SequenceModel, type WeightFormat } from '@bytelm/core';
import {
  CrossAttentionBlock,
  CrossAttentionDecoder,
  CrossAttentionPool,
  CrossAttentionUnpool,
  depthInit,
  EntropyModel,
  LatentTransformer,
  LayeredEncoder,
  TransformerBlock,
  type TransformerBlockConfig,
} from '@bytelm/latent-transformer';
import { HashNgramEmbedding } from '@bytelm/patching';
import { resolveBLTConfig, type BLTConfig, type EntropyModelConfig, type StackConfig } from './config/index.js';
import { createPatcher } from './patcher.js';

export interface BLTOptions {
  /** Initial weights as published for training from scratch. Without it all are zero, waiting for a checkpoint. */
  rng?: Rng | undefined;
  /** Decides where patches end. Default: what `config.patching` says. */
  patcher?: Chunker | undefined;
  /** For the default patcher by entropies. Default: a new one of `config.entropyModel`. */
  entropyModel?: EntropyModel | undefined;
  /** Hash tables on the device, trainable, or on the host, as stored; then `loadTables` fills them. Default 'device'. */
  hashStorage?: 'device' | 'host' | undefined;
  /** How matrices are kept: `bf16` takes half the memory, loses nothing of published bf16 weights, and cannot be trained. Default: as around this call, float32. */
  weights?: WeightFormat | undefined;
  /** Round patch axes up to a multiple of this; 16 keeps the number of WebGPU buffers small. Default 1. */
  padPatchesTo?: number | undefined;
  /** Positions beyond their windows that caches keep, so that so many drafted bytes can be taken back (`speculate`). Default 0. */
  cacheSlack?: number | undefined;
}

/** Where the original's checkpoints keep the parts. */
const STAGE_NAMES = { encoder: 'local_encoder', chunker: 'patcher', downsample: 'local_encoder', main: 'global_transformer', upsample: '', decoder: 'local_decoder' };
const MODEL_NAMES = { embed: '', backbone: '', head: 'local_decoder.output' };

/** A BLT. Its entropy model, if it has one, is no part of its parameters: it is trained on its own. */
export function createBLT(rawConfig: BLTConfig, options: BLTOptions = {}): HierarchicalLM {
  const { weights, ...rest } = options;
  if (weights) return withWeightFormat(weights, () => createBLT(rawConfig, rest));
  const config = resolveBLTConfig(rawConfig);
  const { encoder, global, decoder, crossAttention: cross, vocabSize, hash, eosId } = config;
  const { rng, padPatchesTo } = options;
  const D = encoder.dModel;
  const k = cross.queriesPerChunk;
  const chunker = options.patcher ?? createPatcher(config, { entropyModel: options.entropyModel, rng: rng?.fork('entropy model'), padTo: padPatchesTo });
  const readOuts = cross.encoderLayers === 'all' ? encoder.numLayers : 1;
  const parts = {
    embed: new HashNgramEmbedding({ dModel: D, vocabSize, ...hash, storage: options.hashStorage }, rng?.fork('embed')),
    encoder: localEncoder(config, options),
    chunker,
    downsample: new CrossAttentionPool({ dModel: D, numHeads: cross.encoderHeads, queriesPerChunk: k, layers: readOuts, normEps: encoder.normEps, initStd: crossStd(config, D, 0) }, rng?.fork('pool')),
    main: mainNetwork(config, options),
    upsample: new CrossAttentionUnpool({ dModel: D, layers: readOuts }),
    decoder: new CrossAttentionDecoder(localDecoder(config, options), { dMemory: global.dModel, slotsPerChunk: k }, rng?.fork('decoder')),
    head: new LinearHead({ vocabSize, dModel: decoder.dModel, initStd: decoder.dModel ** -0.5, initCut: 3 }, rng?.fork('head')),
  };
  return new HierarchicalLM(parts, { names: MODEL_NAMES, stageNames: STAGE_NAMES, documentEnds: [eosId] });
}

/** Byte layers without a norm at the end. Where patches are read out after every layer, all their outputs side by side. */
function localEncoder({ encoder, crossAttention, initStdFactor }: BLTConfig, { rng, cacheSlack }: BLTOptions): SequenceModel {
  const blocks = byteLayers(encoder, initStdFactor, cacheSlack, rng?.fork('encoder'));
  if (crossAttention.encoderLayers === 'last' || blocks.length === 1) return new ResidualStack(blocks, { names: { norm: false } });
  return new LayeredEncoder(blocks.map((block, i) => new ResidualStack([block], { names: { layers: [`layers.${i}`], norm: false } })));
}

function mainNetwork({ global, encoder, crossAttention, initStdFactor }: BLTConfig, { rng }: BLTOptions): LatentTransformer {
  return new LatentTransformer(
    { ...blockConfig(global), numLayers: global.numLayers, dInput: crossAttention.queriesPerChunk * encoder.dModel, finalNorm: false, initStdFactor },
    rng?.fork('main'),
  );
}

/** [cross-attention, byte layer] again and again, or cross-attention before the first only. */
function localDecoder(config: BLTConfig, { rng, cacheSlack }: BLTOptions): ResidualStack {
  const { decoder, crossAttention: cross, initStdFactor } = config;
  const layers = byteLayers(decoder, initStdFactor, cacheSlack, rng?.fork('decoder'));
  const blocks: ResidualBlock[] = [];
  const names: string[] = [];
  layers.forEach((layer, i) => {
    if (i === 0 || cross.decoderLayers === 'all') {
      const own = { dModel: decoder.dModel, numHeads: cross.decoderHeads, slotsPerChunk: cross.queriesPerChunk, normEps: decoder.normEps, initStd: crossStd(config, decoder.dModel, i) };
      blocks.push(new CrossAttentionBlock(own, rng?.fork(`cross-attention ${i}`)));
      names.push(`cross_attn_layers.${i}`);
    }
    blocks.push(layer);
    names.push(`layers.${i}`);
  });
  return new ResidualStack(blocks, { names: { layers: names, norm: 'norm' }, eps: decoder.normEps });
}

function byteLayers(stack: StackConfig, factor: BLTConfig['initStdFactor'], cacheSlack: number | undefined, rng?: Rng): TransformerBlock[] {
  const { dModel, dIntermediate, numLayers } = stack;
  return Array.from({ length: numLayers }, (_, layer) => {
    const init = depthInit({ dModel, dIntermediate, layer, numLayers }, factor);
    return new TransformerBlock({ ...blockConfig(stack), ...init, cacheSlack }, rng?.fork(`layers.${layer}`));
  });
}

const blockConfig = ({ dModel, numHeads, numKvHeads, dIntermediate, theta, normEps, window }: StackConfig): TransformerBlockConfig => ({
  dModel,
  numHeads,
  numKvHeads,
  dIntermediate,
  theta,
  normEps,
  interleaved: true,
  names: 'meta',
  windowSize: window === null ? -1 : window - 1,
});

/** Cross-attention starts with width^-½, divided as in the layers around it. */
function crossStd({ initStdFactor, decoder }: BLTConfig, dModel: number, layer: number): number {
  return depthInit({ dModel, dIntermediate: dModel, layer, numLayers: decoder.numLayers }, initStdFactor).initStd;
}

/** The entropy model of a configuration. */
export function createEntropyModel(config: EntropyModelConfig, options: { rng?: Rng | undefined; eosId?: number | undefined; weights?: WeightFormat | undefined } = {}): EntropyModel {
  const { weights, ...rest } = options;
  if (weights) return withWeightFormat(weights, () => createEntropyModel(config, rest));
  return new EntropyModel({ ...config, documentEnds: [options.eosId ?? 2] }, options.rng);
}

/** The entropy model that a BLT patches with. @throws ConfigError when it patches otherwise. */
export function entropyModelOf({ parts: { chunker } }: HierarchicalLM): EntropyModel {
  const { model } = chunker as { model?: unknown };
  if (model instanceof EntropyModel) return model;
  throw new ConfigError(`[entropyModelOf] this model's patches come from ${chunker.constructor.name}, which has no entropy model.`);
}
