import { ConfigError } from '@bytelm/core';
import type { BoundaryThreshold } from '@bytelm/dynamic-chunking';
import { fromHfConfig } from '@bytelm/example-olmo';

/** Layers of the byte models. `bolmo`: as published; `small`: half the decoder, for bodies of a few layers. */
export const LOCAL_PRESETS = { bolmo: { encoderLayers: 1, decoderLayers: 4 }, small: { encoderLayers: 1, decoderLayers: 2 } } as const;
export type LocalPreset = keyof typeof LOCAL_PRESETS;

export interface StudentSizes {
  /** Entries of the subword vocabulary: rows of the table of subwords. */
  subwords: number;
  encoderLayers?: number | undefined;
  decoderLayers?: number | undefined;
  /** Default: heads of about 128 channels, as the published 1B has them. */
  numHeads?: number | undefined;
  /** Default: 1.375 times the width, as the 1B. */
  dIntermediate?: number | undefined;
  /** When the boundary predictor cuts. Default `sample:0`, as published. */
  threshold?: BoundaryThreshold | undefined;
}

/** Keys that describe a body; they are the student's own. */
const BODY = [
  'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads', 'head_dim', 'intermediate_size', 'rms_norm_eps', 'rope_scaling', 'rope_parameters', 'hidden_act', 'attention_bias',
  'max_position_embeddings', 'initializer_range',
] as const;

const HEAD = 128;

/**
 * The `config.json` of the Bolmo that a source model becomes: its body, and byte models of the same width around it.
 * @param teacher The source's `config.json`.
 * @throws ConfigError
 */
export function bolmoConfigOf(teacher: Readonly<Record<string, unknown>>, sizes: StudentSizes): Record<string, unknown> {
  const body = fromHfConfig(teacher);
  const { dModel: D } = body;
  const { encoderLayers = LOCAL_PRESETS.bolmo.encoderLayers, decoderLayers = LOCAL_PRESETS.bolmo.decoderLayers, numHeads = headsOf(D), dIntermediate = 8 * Math.ceil((1.375 * D) / 8) } = sizes;
  if ((D / 2) % numHeads) throw new ConfigError(`[bolmoConfigOf] local heads: expected a divisor of half the width (${D} / 2), got ${numHeads}.`);
  return {
    ...Object.fromEntries(BODY.filter((key) => teacher[key] !== undefined).map((key) => [key, teacher[key]])),
    model_type: 'bolmo',
    architectures: ['BolmoForCausalLM'],
    rope_theta: body.theta,
    // Norms in front of the branches where the source has them there.
    ...(body.architecture === 'llama' && { block_type: 'default' }),
    layer_types: body.windows.map((w) => (w < 0 ? 'full_attention' : 'sliding_attention')),
    sliding_window: Math.max(...body.windows) + 1 || null,
    num_local_encoder_layers: encoderLayers,
    num_local_decoder_layers: decoderLayers,
    num_local_heads: numHeads,
    local_intermediate_size: dIntermediate,
    local_rms_norm_eps: 1e-5,
    vocab_size: 520,
    subword_vocab_size: sizes.subwords,
    add_expanded_embeddings: true,
    boundary_predictor_lookahead: 1,
    boundary_threshold: sizes.threshold ?? 'sample:0',
    bos_token_id: 1,
    eos_token_id: 1,
    pad_token_id: 0,
    tie_word_embeddings: false,
    dtype: 'float32',
    tokenizer_config: { vocab_size: 520, bos_token_id: 1, pad_token_id: 0, eos_token_id: 1, bpe_token_end_id: 3, special_tokens: ['<pad>', '<bos>', '<eos>', '<bpe_token_end>'], special_tokens_first: true },
  };
}

/** The divisor of half the width that makes heads closest to 128 channels. */
function headsOf(dModel: number): number {
  const divisors = Array.from({ length: dModel / 2 }, (_, i) => i + 1).filter((n) => (dModel / 2) % n === 0);
  const off = (heads: number) => Math.abs(Math.log(dModel / heads / HEAD));
  return divisors.reduce((best, n) => (off(n) < off(best) ? n : best));
}
