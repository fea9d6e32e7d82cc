import { ConfigError } from '@bytelm/core';
import { feedForwardWidth } from '@bytelm/latent-transformer';
import { PUBLISHED } from './defaults.js';
import { isObject, type Json } from './key-reader.js';
import type { BLTConfig, ConfigFormat, EntropyModelConfig, ParsedConfig, StackConfig } from './types.js';

/** What is written: `config.json`, and for the original layout with an entropy model its `params.json`. */
export interface WrittenConfig {
  config: Json;
  params?: Json;
}

/**
 * The configuration in a published format. Keys of the file it was read from that this code does not know stay where they were; in the other
 * format they lie under `unknown_keys`.
 *
 * @throws ConfigError when the format cannot say what the configuration says.
 */
export function writeBLTConfig(config: BLTConfig, format: ConfigFormat, source?: Pick<ParsedConfig, 'format' | 'unknown' | 'raw'>): WrittenConfig {
  const written: WrittenConfig = format === 'original' ? toOriginal(config) : { config: toTransformers(config) };
  if (source?.format === format) written.config = merge(source.raw, written.config);
  else if (source && Object.keys(source.unknown).length) written.config.unknown_keys = source.unknown;
  return written;
}

/** Configuration of an entropy model in a folder of its own: `{"args": …}`, or `patcher_config`. */
export function writeEntropyConfig(config: EntropyModelConfig, format: ConfigFormat): Json {
  if (format === 'transformers') return { model_type: 'blt_patcher', ...stackOf(config), vocab_size: config.vocabSize, max_position_embeddings: config.maxPositions, sliding_window: config.window };
  return { args: { ...entropyArgs(config), rope_theta: config.theta } };
}

function toOriginal(config: BLTConfig): WrittenConfig {
  const { encoder, global, decoder, crossAttention: cross, hash, patching, entropyModel } = config;
  const { multipleOf, multiplier } = ffnRule('original', [encoder, global, decoder]);
  refuse('original', [
    [new Set([encoder.theta, global.theta, decoder.theta]).size > 1, 'different rotary bases'],
    [new Set([encoder.normEps, global.normEps, decoder.normEps]).size > 1, 'different norm epsilons'],
    [encoder.window !== decoder.window, 'different windows of encoder and decoder'],
    [cross.encoderHeads !== cross.decoderHeads, 'different numbers of cross-attention heads'],
    [encoder.numKvHeads / encoder.numHeads !== decoder.numKvHeads / decoder.numHeads || (encoder.numKvHeads !== encoder.numHeads && encoder.numKvHeads !== decoder.numKvHeads), 'different key/value heads of encoder and decoder'],
    [entropyModel !== null && entropyModel.theta !== PUBLISHED.entropyTheta, `an entropy model with a rotary base other than ${PUBLISHED.entropyTheta}`],
  ]);
  const args = {
    vocab_size: config.vocabSize,
    eos_id: config.eosId,
    dim_token: null,
    dim_local_encoder: encoder.dModel,
    dim_global: global.dModel,
    dim_local_decoder: decoder.dModel,
    n_layers_local_encoder: encoder.numLayers,
    n_layers_global: global.numLayers,
    n_layers_local_decoder: decoder.numLayers,
    n_heads_local_encoder: encoder.numHeads,
    n_heads_global: global.numHeads,
    n_heads_local_decoder: decoder.numHeads,
    n_kv_heads: encoder.numKvHeads === encoder.numHeads ? null : encoder.numKvHeads,
    n_kv_heads_global: global.numKvHeads === global.numHeads ? null : global.numKvHeads,
    cross_attn_encoder: true,
    cross_attn_decoder: true,
    cross_attn_k: cross.queriesPerChunk,
    cross_attn_nheads: cross.encoderHeads,
    cross_attn_all_layers_encoder: cross.encoderLayers === 'all',
    cross_attn_all_layers_decoder: cross.decoderLayers === 'all',
    cross_attn_window_encoder: cross.encoderWindow,
    cross_attn_window_decoder: cross.decoderWindow,
    cross_attn_init_by_pooling: true,
    downsampling_by_pooling: 'max',
    use_local_encoder_transformer: true,
    encoder_hash_byte_group_size: hash.sizes,
    encoder_hash_byte_group_vocab: hash.vocabularySize,
    encoder_hash_byte_group_nb_functions: hash.numFunctions,
    local_attention_window_len: encoder.window,
    attn_bias_type: 'block_causal',
    multiple_of: multipleOf,
    ffn_dim_multiplier: multiplier,
    rope_theta: encoder.theta,
    norm_eps: encoder.normEps,
    max_seqlen: config.maxPatches,
    max_encoder_seq_length: config.maxBytes,
    patch_size: patching.patchSize,
    patching_mode: patching.mode === 'static' ? '' : patching.mode,
    patching_threshold: patching.threshold,
    patching_threshold_add: patching.addThreshold,
    monotonicity: patching.monotonic,
    max_patch_length: patching.maxPatchLength,
    init_std_factor: config.initStdFactor,
    weight_tying: false,
  };
  const rule = { patching_mode: patching.mode, threshold: patching.threshold, threshold_add: patching.addThreshold, max_patch_length: patching.maxPatchLength, patch_size: patching.patchSize, monotonicity: patching.monotonic };
  if (!entropyModel) return { config: { args } };
  return { config: { args }, params: { entropy_model: entropyArgs(entropyModel), data: { patcher_args: rule } } };
}

function entropyArgs(config: EntropyModelConfig): Json {
  const { multipleOf, multiplier } = ffnRule('original', [config]);
  return {
    vocab_size: config.vocabSize,
    dim: config.dModel,
    n_layers: config.numLayers,
    n_heads: config.numHeads,
    n_kv_heads: config.numKvHeads === config.numHeads ? null : config.numKvHeads,
    multiple_of: multipleOf,
    ffn_dim_multiplier: multiplier,
    norm_eps: config.normEps,
    rope_theta: config.theta,
    max_seqlen: config.maxPositions,
    sliding_window: config.window,
    attn_bias_type: 'local_block_causal',
    weight_tying: false,
  };
}

function toTransformers(config: BLTConfig): Json {
  const { encoder, global, decoder, crossAttention: cross, hash, patching, entropyModel } = config;
  refuse('transformers', [
    [cross.encoderHeads !== encoder.numHeads || cross.decoderHeads !== decoder.numHeads, 'cross-attention heads other than those of the layers'],
    [cross.encoderWindow !== null || cross.decoderWindow !== null, 'cross-attention over several patches'],
  ]);
  const shown = cross.queriesPerChunk * encoder.dModel;
  return {
    model_type: 'blt',
    architectures: ['BltForCausalLM'],
    vocab_size: config.vocabSize,
    eos_token_id: config.eosId,
    tie_word_embeddings: false,
    use_cache: false,
    cross_attn_k: cross.queriesPerChunk,
    local_attention_window_len: encoder.window,
    max_position_embeddings: config.maxPatches,
    encoder_hash_byte_group_size: hash.sizes,
    encoder_hash_byte_group_vocab: hash.vocabularySize,
    encoder_hash_byte_group_nb_functions: hash.numFunctions,
    patch_in_forward: entropyModel !== null,
    patch_size: patching.patchSize,
    patching_mode: patching.mode,
    patching_threshold: patching.threshold,
    patching_threshold_add: patching.addThreshold,
    monotonicity: patching.monotonic,
    max_patch_length: patching.maxPatchLength,
    init_std_factor: config.initStdFactor,
    rope_parameters: rope(global.theta),
    encoder_config: { ...local('blt_local_encoder', encoder, config), cross_attn_all_layers: cross.encoderLayers === 'all' },
    global_config: { model_type: 'blt_global_transformer', ...stackOf(global), max_position_embeddings: config.maxPatches, encoder_cross_output_size: shown === global.dModel ? null : shown },
    decoder_config: { ...local('blt_local_decoder', decoder, config), cross_attn_all_layers: cross.decoderLayers === 'all' },
    ...(entropyModel && { patcher_config: writeEntropyConfig(entropyModel, 'transformers') }),
  };
}

const rope = (theta: number): Json => ({ rope_theta: theta, rope_type: 'default' });

const stackOf = (s: StackConfig): Json => ({
  hidden_size: s.dModel,
  num_hidden_layers: s.numLayers,
  num_attention_heads: s.numHeads,
  num_key_value_heads: s.numKvHeads,
  head_dim: s.dModel / s.numHeads,
  intermediate_size: s.dIntermediate,
  rms_norm_eps: s.normEps,
  hidden_act: 'silu',
  rope_parameters: rope(s.theta),
});

const local = (model_type: string, s: StackConfig, config: BLTConfig): Json => ({
  model_type,
  ...stackOf(s),
  vocab_size: config.vocabSize,
  max_position_embeddings: config.maxBytes,
  sliding_window: s.window,
  cross_attn_k: config.crossAttention.queriesPerChunk,
  hidden_size_global: config.global.dModel,
});

/** The original has one rule for all hidden widths: finds one that gives them. */
function ffnRule(format: string, stacks: readonly StackConfig[]): { multipleOf: number; multiplier: number | null } {
  for (const multiplier of [null, 1, ...stacks.flatMap(({ dModel, dIntermediate }) => { const plain = Math.trunc((8 * dModel) / 3); return [dIntermediate / plain, (dIntermediate + 0.5) / plain]; })]) {
    for (const multipleOf of [256, 128, 64, 32, 16, 8, 4, 2, 1]) {
      if (stacks.every((s) => feedForwardWidth(s.dModel, { multipleOf, multiplier }) === s.dIntermediate)) return { multipleOf, multiplier };
    }
  }
  const widths = stacks.map((s) => `${s.dIntermediate} at width ${s.dModel}`).join(', ');
  throw new ConfigError(`[writeBLTConfig] the ${format} layout has one rule for all hidden widths, and none gives ${widths}. Hint: save in the transformers layout.`);
}

function refuse(format: ConfigFormat, cases: readonly (readonly [boolean, string])[]): void {
  const found = cases.filter(([yes]) => yes).map(([, what]) => what);
  if (found.length) throw new ConfigError(`[writeBLTConfig] the ${format} layout cannot say: ${found.join('; ')}. Hint: save in the other layout.`);
}

/** `over` laid over `under`, object by object. */
function merge(under: Json, over: Json): Json {
  const out: Json = { ...under };
  for (const [k, v] of Object.entries(over)) out[k] = isObject(v) && isObject(out[k]) ? merge(out[k] as Json, v) : v;
  return out;
}
