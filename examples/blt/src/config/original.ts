// The original's files: {"args": …} of Hugging Face repositories, and params.json ({"model"?, "entropy_model"?, "data"?}) beside consolidated.pth.
import { feedForwardWidth } from '@bytelm/latent-transformer';
import { DEFAULT_PATCHING, PUBLISHED } from './defaults.js';
import { KeyReader, type Findings, type Json } from './key-reader.js';
import type { BLTConfig, EntropyModelConfig, InitStdFactor, PatchingConfig, StackConfig } from './types.js';

/** Written by the original's base classes and older versions; they change nothing. */
const LEFTOVERS = [
  'dim', 'n_layers', 'n_heads', 'head_dim', 'seed', 'attn_impl', 'attn_bias_type', 'share_encoder_decoder_emb', 'init_use_depth', 'init_use_gaussian', 'init_base_std', 'alpha_depth', 'non_linearity',
  'use_rope', 'rope_use_fp32_in_outer_product', 'full_attention', 'use_fsdp', 'fsdp', 'entropy_model_checkpoint_dir', 'recompute_attn', 'recompute_fc1_out', 'recompute_fc3_out', 'custom_bwd', 'fuse_sequence_parallel',
  'layer_ckpt', 'efficient_attn', 'sequence_parallel', 'loss_parallel', 'max_length', 'patch_in_forward', 'pad_to_max_length', 'data_loader_patching', 'log_patch_lengths', 'conv_kernel_size', 'adjust_dropout_by_depth',
  'dropout', 'output_size', 'patching_batch_size', 'patching_device', 'encoder_preds_low_entropy_toks', 'encoder_preds_random_toks', 'cross_attn_use_flex_attention', 'local_attn_use_flex', 'local_encoder_attn_bias_type', 'lm_head_bias',
];

export function isOriginal(raw: Json): boolean {
  return 'args' in raw || 'model' in raw || 'entropy_model' in raw;
}

/** `{"args"}` or `{"model"}` of a BLT, with an entropy model's `params.json` where there is one. */
export function readOriginal(raw: Json, params: Json | undefined, findings: Findings): BLTConfig {
  const top = new KeyReader(raw, '', findings);
  const args = top.section('args' in raw ? 'args' : 'model').ignore(LEFTOVERS);
  const vocabSize = args.number('vocab_size', { or: PUBLISHED.vocabSize });
  refuseVariants(args);
  const shared = sharedSettings(args);
  const stack = (part: string, kv: string): StackConfig => {
    const dModel = args.number(`dim_${part}`);
    const numHeads = args.number(`n_heads_${part}`);
    return {
      dModel,
      numLayers: args.number(`n_layers_${part}`),
      numHeads,
      numKvHeads: args.nullable(kv, { or: null }) ?? numHeads,
      dIntermediate: feedForwardWidth(dModel, shared),
      theta: shared.theta,
      normEps: shared.normEps,
      window: null,
    };
  };
  const window = args.nullable('local_attention_window_len', { or: PUBLISHED.window });
  const encoder = { ...stack('local_encoder', 'n_kv_heads'), window };
  const heads = args.nullable('cross_attn_nheads', { or: null });
  const decoder = { ...stack('local_decoder', 'n_kv_heads'), window };
  const own = top.has('entropy_model') ? raw : params;
  const config: BLTConfig = {
    vocabSize,
    eosId: args.number('eos_id', { or: PUBLISHED.eosId, min: 0 }),
    encoder,
    global: stack('global', 'n_kv_heads_global'),
    decoder,
    crossAttention: {
      queriesPerChunk: args.number('cross_attn_k'),
      encoderHeads: heads ?? encoder.numHeads,
      decoderHeads: heads ?? decoder.numHeads,
      encoderLayers: args.boolean('cross_attn_all_layers_encoder', false) ? 'all' : 'last',
      decoderLayers: args.boolean('cross_attn_all_layers_decoder', false) ? 'all' : 'first',
      encoderWindow: args.nullable('cross_attn_window_encoder', { or: null }),
      decoderWindow: args.nullable('cross_attn_window_decoder', { or: null }),
    },
    hash: {
      sizes: args.numbers('encoder_hash_byte_group_size', [...PUBLISHED.hashSizes]),
      vocabularySize: args.number('encoder_hash_byte_group_vocab', { or: PUBLISHED.hashVocabulary }),
      numFunctions: args.number('encoder_hash_byte_group_nb_functions', { or: 1 }),
    },
    patching: readPatching(args, top.section('data').section('patcher_args'), params && new KeyReader(params, 'params: ', findings).section('data').section('patcher_args')),
    entropyModel: own && 'entropy_model' in own ? readEntropySection(new KeyReader(own, own === raw ? '' : 'params: ', findings)) : null,
    maxBytes: args.number('max_encoder_seq_length', { or: PUBLISHED.maxBytes }),
    maxPatches: args.number('max_seqlen', { or: PUBLISHED.maxPatches }),
    initStdFactor: args.choice<InitStdFactor>('init_std_factor', ['disabled', 'current_depth', 'global_depth', 'dim_ratio'], 'disabled'),
  };
  args.finish();
  return config;
}

/** An entropy model alone: `{"args"}` of `facebook/blt-entropy`, or `{"entropy_model"}` of a `params.json`. */
export function readOriginalEntropy(raw: Json, findings: Findings): EntropyModelConfig {
  const top = new KeyReader(raw, '', findings);
  return 'args' in raw ? readEntropyArgs(top.section('args'), null) : readEntropySection(top);
}

/** Tells the two kinds of `{"args"}` apart. */
export const isOriginalEntropy = (raw: Json): boolean => {
  const args = (raw.args ?? raw.model) as Json | undefined;
  return args === undefined ? 'entropy_model' in raw : 'dim' in args && !Object.keys(args).some((k) => /^(dim|n_layers|n_heads)_(global|local)/.test(k));
};

// Checkpoint: the original builds the entropy model of a params.json with its own base of 10 000, whatever the file says (entropy_model.py).
const readEntropySection = (top: KeyReader): EntropyModelConfig => readEntropyArgs(top.section('entropy_model'), PUBLISHED.entropyTheta);

function readEntropyArgs(args: KeyReader, fixedTheta: number | null): EntropyModelConfig {
  args.ignore(LEFTOVERS).ignore(['eos_id', 'init_std_factor', 'patch_size', 'patching_mode', 'patching_threshold', 'max_encoder_seq_length']);
  const { multipleOf, multiplier, normEps } = sharedSettings(args, PUBLISHED.entropyTheta);
  const theta = fixedTheta ?? args.number('rope_theta', { or: PUBLISHED.entropyTheta, whole: false });
  args.only('weight_tying', [false, null], 'the entropy model has an output matrix of its own');
  const dModel = args.number('dim');
  const numHeads = args.number('n_heads');
  const config: EntropyModelConfig = {
    vocabSize: args.number('vocab_size', { or: PUBLISHED.vocabSize }),
    dModel,
    numLayers: args.number('n_layers'),
    numHeads,
    numKvHeads: args.nullable('n_kv_heads', { or: null }) ?? numHeads,
    dIntermediate: feedForwardWidth(dModel, { multipleOf, multiplier }),
    theta,
    normEps,
    // Checkpoint: a file without a window was trained with 512.
    window: args.nullable('sliding_window', { or: null }) ?? PUBLISHED.window,
    maxPositions: args.number('max_seqlen', { or: PUBLISHED.entropyMaxPositions }),
  };
  args.finish();
  return config;
}

function sharedSettings(args: KeyReader, theta: number = PUBLISHED.theta) {
  return {
    multipleOf: args.number('multiple_of', { or: PUBLISHED.multipleOf }),
    multiplier: args.nullable('ffn_dim_multiplier', { or: null, whole: false }),
    theta: args.number('rope_theta', { or: theta, whole: false }),
    normEps: args.number('norm_eps', { or: PUBLISHED.normEps, whole: false }),
  };
}

/** The model's own arguments first, then what training or the entropy model's file say about cutting. */
function readPatching(args: KeyReader, training: KeyReader, params: KeyReader | undefined): PatchingConfig {
  const modes = ['entropy', 'space', 'static', 'byte', 'bpe', ''] as const;
  const mode = args.choice('patching_mode', modes, 'entropy');
  const source = training.has('threshold') ? training : params?.has('threshold') ? params : undefined;
  const threshold = args.nullable('patching_threshold', { or: null, whole: false, min: -Infinity });
  const addThreshold = args.nullable('patching_threshold_add', { or: null, whole: false, min: -Infinity });
  const maxPatchLength = args.nullable('max_patch_length', { or: null });
  const monotonic = args.boolean('monotonicity', false);
  const patchSize = args.number('patch_size', { or: DEFAULT_PATCHING.patchSize, whole: false });
  return {
    mode: mode === '' ? 'static' : mode,
    threshold: source?.number('threshold', { whole: false, min: -Infinity }) ?? threshold ?? DEFAULT_PATCHING.threshold,
    addThreshold: source?.nullable('threshold_add', { or: null, whole: false, min: -Infinity }) ?? addThreshold,
    monotonic: source?.boolean('monotonicity', false) ?? monotonic,
    maxPatchLength: source?.nullable('max_patch_length', { or: null }) ?? maxPatchLength,
    patchSize,
  };
}

/** Branches of the original that no release uses. */
function refuseVariants(args: KeyReader): void {
  args.only('cross_attn_encoder', [true, null], 'patches are read out by cross-attention here');
  args.only('cross_attn_decoder', [true, null], 'bytes read their patch by cross-attention here');
  args.only('cross_attn_init_by_pooling', [true, null], 'queries start from the pooled bytes here');
  args.only('downsampling_by_pooling', ['max', null], 'pooling is by maximum here');
  args.only('use_local_encoder_transformer', [true, null], 'the encoder has layers here');
  args.only('weight_tying', [false, null], 'no release ties weights');
  args.only('dim_token', [null], 'the encoder has no projection of its own');
  args.only('dim_token_emb', [null], 'the encoder has no projection of its own');
  args.only('dim_patch_emb', [null], 'the encoder has no projection of its own');
  args.only('pm_size', [0, null], 'the vocabulary has no patch markers here');
  args.only('encoder_enable_byte_ngrams', [false, null], 'frequency n-gram tables are not built');
  args.only('encoder_enable_byte_group_hash', [true, null], 'hash n-grams are part of the model');
  args.only('encoder_ngram_to_size_str', [null, ''], 'frequency n-gram tables are not built');
  args.only('encoder_ngram_table_dir', [null, ''], 'frequency n-gram tables are not built');
  args.only('tie_local_encoder_decoder_logits', [false, null], 'no release ties weights');
  args.only('tie_local_encoder_decoder', [false, null], 'no release ties weights');
  args.only('downsampling_by_concat', [false, null], 'pooling is by maximum here');
  args.only('use_local_encoder_pooling', [null, false], 'pooling is by maximum here');
}
