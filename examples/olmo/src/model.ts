import { Embedding, LinearHead, SequenceLM, type Rng } from '@bytelm/core';
import { LatentTransformer } from '@bytelm/latent-transformer';
import type { SourceConfig } from './config.js';

/** A subword language model: the `SequenceLM` of every other model here, over tokens in place of bytes. */
export interface SourceLM extends SequenceLM {
  readonly backbone: LatentTransformer;
}

/**
 * OLMo 2, Olmo 3 or Llama out of this repository's transformer, with the parameter names of the published checkpoints:
 * `model.embed_tokens.weight`, `model.layers.{i}.…`, `model.norm.weight`, `lm_head.weight`.
 *
 * @param rng Initial weights; without it they are zero and wait to be loaded.
 * @throws ConfigError
 */
export function createSourceLM(config: SourceConfig, rng?: Rng): SourceLM {
  const { vocabSize, dModel, isTied, initStd } = config;
  const isLlama = config.architecture === 'llama';
  const embed = new Embedding({ vocabSize, dModel, initStd }, rng?.fork('embed'));
  const backbone = new LatentTransformer(
    {
      names: isLlama ? 'llama' : 'olmo',
      qkNorm: isLlama ? undefined : 'all-heads',
      dModel,
      numLayers: config.numLayers,
      numHeads: config.numHeads,
      numKvHeads: config.numKvHeads,
      headDim: config.headDim,
      dIntermediate: config.dIntermediate,
      theta: config.theta,
      normEps: config.normEps,
      windowSize: config.windows,
      rotaryScaling: config.rotaryScaling,
      finalNorm: 'norm',
      initStd,
    },
    rng?.fork('backbone'),
  );
  const head = new LinearHead({ vocabSize, dModel, initStd, ...(isTied && { tiedTo: embed }) }, rng?.fork('head'));
  return new SequenceLM({ embed, backbone, head }, { names: { embed: 'model.embed_tokens', backbone: 'model', head: 'lm_head' } }) as SourceLM;
}

/** Names and shapes of the parameters, without making them. A tied head is not among them. */
export function parameterShapes(config: SourceConfig): Map<string, number[]> {
  const { dModel: D, numHeads, numKvHeads, headDim, dIntermediate: F, vocabSize } = config;
  const isLlama = config.architecture === 'llama';
  const [Dq, Dkv] = [numHeads * headDim, numKvHeads * headDim];
  const out = new Map<string, number[]>([['model.embed_tokens.weight', [vocabSize, D]]]);
  for (let i = 0; i < config.numLayers; i++) {
    const put = (name: string, shape: number[]) => out.set(`model.layers.${i}.${name}`, shape);
    for (const [p, rows] of [['q', Dq], ['k', Dkv], ['v', Dkv]] as const) put(`self_attn.${p}_proj.weight`, [rows, D]);
    put('self_attn.o_proj.weight', [D, Dq]);
    if (!isLlama) {
      put('self_attn.q_norm.weight', [Dq]);
      put('self_attn.k_norm.weight', [Dkv]);
    }
    for (const p of ['gate', 'up']) put(`mlp.${p}_proj.weight`, [F, D]);
    put('mlp.down_proj.weight', [D, F]);
    for (const norm of isLlama ? ['input_layernorm', 'post_attention_layernorm'] : ['post_attention_layernorm', 'post_feedforward_layernorm']) put(`${norm}.weight`, [D]);
  }
  out.set('model.norm.weight', [D]);
  if (!config.isTied) out.set('lm_head.weight', [vocabSize, D]);
  return out;
}
