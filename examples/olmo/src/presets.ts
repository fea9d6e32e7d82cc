import type { SubwordVocabulary } from '@bytelm/distill';

/** Sizes of a model to be trained from scratch; the vocabulary is the tokenizer's. */
export interface OlmoPreset {
  hidden: number;
  layers: number;
  heads: number;
  intermediate: number;
  description: string;
}

/** Models to train, by name. */
export const OLMO_PRESETS: Readonly<Record<string, OlmoPreset>> = {
  tiny: { hidden: 192, layers: 5, heads: 3, intermediate: 512, description: '2.2 M parameters and two tables of the vocabulary: the teacher of byteify-tiny' },
  small: { hidden: 256, layers: 8, heads: 4, intermediate: 704, description: '6.4 M parameters and two tables of the vocabulary' },
  micro: { hidden: 48, layers: 2, heads: 3, intermediate: 128, description: 'for first steps and tests: learns a little in seconds' },
};

/** The `config.json` of a preset, as Hugging Face has it for OLMo 2. Weights are drawn with standard deviation 1 / √width, since training is short. */
export function presetConfig({ hidden, layers, heads, intermediate }: OlmoPreset, { size, endId, padId }: Pick<SubwordVocabulary, 'size' | 'endId' | 'padId'>): Record<string, unknown> {
  return {
    architectures: ['Olmo2ForCausalLM'],
    model_type: 'olmo2',
    vocab_size: size,
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    intermediate_size: intermediate,
    hidden_act: 'silu',
    attention_bias: false,
    rms_norm_eps: 1e-6,
    rope_theta: 500_000,
    rope_scaling: null,
    max_position_embeddings: 4096,
    tie_word_embeddings: false,
    initializer_range: Number((hidden ** -0.5).toPrecision(4)),
    bos_token_id: null,
    eos_token_id: endId ?? null,
    pad_token_id: padId ?? null,
    dtype: 'float32',
  };
}
