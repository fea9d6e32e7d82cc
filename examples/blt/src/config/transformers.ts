// config.json of transformers: model_type `blt` with four sub-configurations; of older files some keys lie a level higher or lower.
import { feedForwardWidth } from '@bytelm/latent-transformer';
import { DEFAULT_PATCHING, PUBLISHED } from './defaults.js';
import { KeyReader, type Findings, type Json } from './key-reader.js';
import type { BLTConfig, EntropyModelConfig, InitStdFactor, PatchingMode, StackConfig } from './types.js';

/** Said again in several places, or about other things than the computation. */
const LEFTOVERS = [
  'model_type', 'architectures', 'transformers_version', 'torch_dtype', 'dtype', 'use_cache', 'initializer_range', 'dropout', 'hidden_act', 'bos_token_id', 'pad_token_id', 'eos_token_id', 'tie_word_embeddings',
  'max_position_embeddings', 'patch_in_forward', 'patching_batch_size', 'patching_device', 'realtime_patching', 'return_dict', 'output_hidden_states', 'is_encoder_decoder', '_name_or_path', 'vocab_size', 'hidden_size_global',
  'cross_attn_k', 'encoder_cross_output_size', 'seed', 'attn_implementation', 'entropy_model_checkpoint_dir', 'rope_theta', 'norm_eps', 'rms_norm_eps', 'rope_parameters', 'rope_scaling', 'head_dim', 'dim', 'max_length',
  'num_attention_heads', 'num_key_value_heads', 'num_hidden_layers', 'hidden_size', 'intermediate_size', 'ffn_dim_multiplier', 'multiple_of',
];

export function isTransformers(raw: Json): boolean {
  return raw.model_type === 'blt' || 'encoder_config' in raw || 'global_config' in raw || 'decoder_config' in raw;
}

export const isTransformersEntropy = (raw: Json): boolean => raw.model_type === 'blt_patcher' || ('patcher_config' in raw && !isTransformers(raw));

interface StackDefaults {
  hidden: number;
  layers: number;
  heads: number;
  theta: number;
  window: number | null;
}

export function readTransformers(raw: Json, findings: Findings): BLTConfig {
  const top = new KeyReader(raw, '', findings);
  const eosId = top.has('eos_token_id') ? top.number('eos_token_id', { min: 0 }) : PUBLISHED.eosId;
  const vocabSize = top.number('vocab_size', { or: PUBLISHED.vocabSize });
  const window = top.nullable('local_attention_window_len', { or: PUBLISHED.window });
  const withPatcher = top.boolean('patch_in_forward', true);
  top.only('pm_size', [0, null], 'the vocabulary has no patch markers here');
  top.only('tie_word_embeddings', [false, null], 'no release ties weights');
  const base = theta(top, PUBLISHED.theta);
  const parts = { encoder: top.section('encoder_config'), global: top.section('global_config'), decoder: top.section('decoder_config') };
  const encoder = readStack(parts.encoder, { hidden: 1024, layers: 1, heads: 16, theta: base, window }, top);
  const decoder = readStack(parts.decoder, { hidden: 1024, layers: 9, heads: 16, theta: base, window }, top);
  const config: BLTConfig = {
    vocabSize,
    eosId,
    encoder,
    global: { ...readStack(parts.global, { hidden: 2048, layers: 25, heads: 16, theta: base, window: null }, top), window: null },
    decoder,
    crossAttention: {
      queriesPerChunk: top.has('cross_attn_k') ? top.number('cross_attn_k') : parts.encoder.number('cross_attn_k', { or: 2 }),
      encoderHeads: encoder.numHeads,
      decoderHeads: decoder.numHeads,
      encoderLayers: parts.encoder.boolean('cross_attn_all_layers', false) ? 'all' : 'last',
      decoderLayers: parts.decoder.boolean('cross_attn_all_layers', true) ? 'all' : 'first',
      encoderWindow: null,
      decoderWindow: null,
    },
    hash: {
      sizes: top.numbers('encoder_hash_byte_group_size', [...PUBLISHED.hashSizes]),
      vocabularySize: top.number('encoder_hash_byte_group_vocab', { or: PUBLISHED.hashVocabulary }),
      numFunctions: top.number('encoder_hash_byte_group_nb_functions', { or: 1 }),
    },
    patching: {
      mode: top.choice<PatchingMode>('patching_mode', ['entropy', 'space', 'static', 'byte', 'bpe'], 'entropy'),
      threshold: top.nullable('patching_threshold', { or: null, whole: false, min: -Infinity }) ?? DEFAULT_PATCHING.threshold,
      addThreshold: top.nullable('patching_threshold_add', { or: null, whole: false, min: -Infinity }),
      monotonic: top.boolean('monotonicity', false),
      maxPatchLength: top.nullable('max_patch_length', { or: null }),
      patchSize: top.number('patch_size', { or: DEFAULT_PATCHING.patchSize, whole: false }),
    },
    entropyModel: withPatcher ? readTransformersEntropy(raw, findings) : null,
    maxBytes: parts.encoder.number('max_position_embeddings', { or: PUBLISHED.maxBytes }),
    maxPatches: parts.global.number('max_position_embeddings', { or: top.number('max_position_embeddings', { or: PUBLISHED.maxPatches }) }),
    initStdFactor: top.choice<InitStdFactor>('init_std_factor', ['disabled', 'current_depth', 'global_depth', 'dim_ratio'], 'disabled'),
  };
  const cross = parts.global.take('encoder_cross_output_size');
  const shown = config.crossAttention.queriesPerChunk * encoder.dModel;
  if (typeof cross === 'number' && cross !== shown) findings.problems.push(`global_config.encoder_cross_output_size: ${cross}, but ${config.crossAttention.queriesPerChunk} queries of width ${encoder.dModel} are ${shown}`);
  top.ignore(['patcher_config']);
  for (const part of [top, ...Object.values(parts)]) part.ignore(LEFTOVERS).finish();
  return config;
}

/** The entropy model in `patcher_config`, or a `blt_patcher` file of its own. */
export function readTransformersEntropy(raw: Json, findings: Findings): EntropyModelConfig {
  const top = new KeyReader(raw, '', findings);
  const own = raw.model_type === 'blt_patcher' ? top : top.section('patcher_config');
  const stack = readStack(own, { hidden: 768, layers: 14, heads: 12, theta: theta(own, PUBLISHED.entropyTheta), window: PUBLISHED.window }, own);
  const config = { ...stack, vocabSize: own.number('vocab_size', { or: PUBLISHED.vocabSize }), maxPositions: own.number('max_position_embeddings', { or: PUBLISHED.entropyMaxPositions }) };
  own.ignore(LEFTOVERS).finish();
  return config;
}

function readStack(own: KeyReader, d: StackDefaults, top: KeyReader): StackConfig {
  const dModel = own.number('hidden_size', { or: d.hidden });
  const numHeads = own.number('num_attention_heads', { or: d.heads });
  const headDim = own.nullable('head_dim', { or: null });
  if (headDim !== null && headDim * numHeads !== dModel) own.problem('head_dim', `${headDim}, but ${numHeads} heads over a width of ${dModel} have ${dModel / numHeads} channels`);
  own.only('hidden_act', ['silu', null], 'the gate is a SiLU');
  return {
    dModel,
    numLayers: own.number('num_hidden_layers', { or: d.layers }),
    numHeads,
    numKvHeads: own.nullable('num_key_value_heads', { or: null }) ?? numHeads,
    // A file without it has the original's rounding in its tensors, which decide in the end (`withFfnOf`).
    dIntermediate: own.nullable('intermediate_size', { or: null }) ?? feedForwardWidth(dModel, { multipleOf: PUBLISHED.multipleOf }),
    theta: theta(own, d.theta),
    normEps: eps(own) ?? eps(top) ?? PUBLISHED.normEps,
    window: own.nullable('sliding_window', { or: d.window }),
  };
}

/** Newer files have `rope_parameters.rope_theta`, older ones `rope_theta`. */
function theta(own: KeyReader, or: number): number {
  const rope = own.section('rope_parameters');
  rope.only('rope_type', ['default', null], 'frequencies are not scaled');
  const scaling = own.section('rope_scaling');
  scaling.only('rope_type', ['default', null], 'frequencies are not scaled');
  scaling.only('type', ['default', null], 'frequencies are not scaled');
  const from = rope.has('rope_theta') ? rope : own;
  const value = from.has('rope_theta') ? from.number('rope_theta', { whole: false }) : or;
  rope.finish();
  return value;
}

function eps(own: KeyReader): number | undefined {
  const key = ['rms_norm_eps', 'norm_eps'].find((k) => own.has(k));
  return key === undefined ? undefined : own.number(key, { whole: false });
}
