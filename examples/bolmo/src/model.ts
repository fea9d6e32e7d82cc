/**
 * Bolmo (Minixhofer et al., arXiv 2512.15586): a subword model made to read and write bytes.
 *
 * Notable features:
 * - The body is the source model's, layer by layer; only its embedding, final norm and head are replaced.
 * - mLSTM layers around it: one reads bytes, four write them.
 * - A byte's vector is its embedding plus that of the longest subword that ends with it: the source model's own table.
 * - Patches end where the source's tokenizer would end a token. That depends on what follows, so the predictor looks one byte ahead.
 * - While decoding nothing follows yet: the head emits each byte in two versions, one of which ends the patch.
 * - The byte that ends a patch already sees the patch's output. There is no gate between the levels, and nothing is learned through boundaries.
 * - q belongs to the current and k to the next byte in the published weights; the paper has it the other way round.
 */
import { BoundaryEmittingLM, LinearHead, type Rng } from '@bytelm/core';
import { BOLMO_VOCABULARY } from '@bytelm/distill';
import { BoundaryPredictor } from '@bytelm/dynamic-chunking';
import { LatentTransformer } from '@bytelm/latent-transformer';
import { mlstmStack } from '@bytelm/mlstm';
import type { BolmoConfig } from './config.js';
import { LastBytePool } from './parts/last-byte-pool.js';
import { PatchUnpool } from './parts/patch-unpool.js';
import { SuffixEmbedding } from './parts/suffix-embedding.js';
import type { SuffixTrie } from './parts/suffix-trie.js';

export interface BolmoOptions {
  /** The subword vocabulary; needed where the configuration has a table of subwords. */
  trie?: SuffixTrie | undefined;
  /** Initial weights. Without it all are zero, waiting for a checkpoint. */
  rng?: Rng | undefined;
  /** Round patch axes up to a multiple of this; 16 keeps the number of WebGPU buffers small. Default 1. */
  padPatchesTo?: number | undefined;
}

/** Where published checkpoints keep the parts. */
const STAGE_NAMES = { encoder: 'local_encoder', chunker: 'local_encoder.boundary_predictor_module', downsample: 'local_encoder', main: '', upsample: 'local_decoder', decoder: '' };
const MODEL_NAMES = { embed: 'model.local_encoder', backbone: 'model', head: 'lm_head' };

/**
 * A Bolmo with the parameter names of the published checkpoints.
 * @throws ConfigError when the subword vocabulary is missing or does not fit.
 */
export function createBolmo(config: BolmoConfig, { trie, rng, padPatchesTo }: BolmoOptions = {}): BoundaryEmittingLM {
  const { body, local, vocabSize, subwordVocabSize, lookahead, threshold } = config;
  const { dModel, normEps } = body;
  const bytes = { dModel, numHeads: local.numHeads, dIntermediate: local.dIntermediate, normEps };
  const parts = {
    embed: new SuffixEmbedding({ dModel, vocabSize, subwordVocabSize, trie }, rng?.fork('embed')),
    encoder: mlstmStack({ ...bytes, nLayers: local.encoderLayers, finalNormEps: local.normEps }, rng?.fork('encoder')),
    chunker: new BoundaryPredictor({ dModel, lookahead, threshold, ...(padPatchesTo && { padTo: padPatchesTo }), ...(rng && { rng: rng.fork('boundaries') }) }),
    downsample: new LastBytePool({ dModel }, rng?.fork('pool')),
    main: globalModel(config, rng?.fork('main')),
    upsample: new PatchUnpool({ dModel, normEps: local.normEps }, rng?.fork('unpool')),
    decoder: mlstmStack({ ...bytes, nLayers: local.decoderLayers, finalNormEps: normEps, names: { layers: 'local_decoder.layers', norm: 'norm' } }, rng?.fork('decoder')),
    head: new LinearHead({ vocabSize, dModel, initStd: 0.02, initCut: 3, boundaryFrom: BOLMO_VOCABULARY.numIds }, rng?.fork('head')),
  };
  return new BoundaryEmittingLM(parts, { names: MODEL_NAMES, stageNames: STAGE_NAMES });
}

/** The source model's layers and nothing else of it. Positions are patches. */
function globalModel({ body }: BolmoConfig, rng?: Rng): LatentTransformer {
  const isLlama = body.architecture === 'llama';
  return new LatentTransformer(
    {
      names: isLlama ? 'llama' : 'olmo',
      qkNorm: isLlama ? undefined : 'all-heads',
      dModel: body.dModel,
      numLayers: body.numLayers,
      numHeads: body.numHeads,
      numKvHeads: body.numKvHeads,
      headDim: body.headDim,
      dIntermediate: body.dIntermediate,
      theta: body.theta,
      normEps: body.normEps,
      windowSize: body.windows,
      rotaryScaling: body.rotaryScaling,
      finalNorm: false,
    },
    rng,
  );
}
