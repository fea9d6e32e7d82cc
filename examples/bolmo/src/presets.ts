import { fileURLToPath } from 'node:url';
import { parseBolmoConfig, type BolmoConfig } from './config.js';

/** A configuration under a name. */
export interface BolmoPreset {
  config: BolmoConfig;
  /** Hugging Face repository with published weights. */
  repo?: string;
  description: string;
}

interface Sizes {
  hidden: number;
  layers: number;
  heads: number;
  intermediate: number;
  localIntermediate: number;
  localHeads?: number;
  /** Every fourth layer sees all patches, the others so many; `null`: all layers see all. */
  slidingWindow?: number | null;
  subwords?: number;
  tokenizer?: string;
}

const bolmo = ({ hidden, layers, heads, intermediate, localIntermediate, localHeads = 16, slidingWindow = null, subwords = 100_278, tokenizer = 'allenai/dolma2-tokenizer' }: Sizes): BolmoConfig =>
  parseBolmoConfig({
    model_type: 'bolmo',
    architectures: ['BolmoForCausalLM'],
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    intermediate_size: intermediate,
    layer_types: Array.from({ length: layers }, (_, i) => (slidingWindow === null || (i + 1) % 4 === 0 ? 'full_attention' : 'sliding_attention')),
    sliding_window: slidingWindow ?? 4096,
    num_local_encoder_layers: 1,
    num_local_decoder_layers: 4,
    num_local_heads: localHeads,
    local_intermediate_size: localIntermediate,
    rms_norm_eps: 1e-6,
    local_rms_norm_eps: 1e-5,
    vocab_size: 520,
    subword_vocab_size: subwords,
    add_expanded_embeddings: true,
    boundary_predictor_lookahead: 1,
    boundary_threshold: 'sample:0',
    bos_token_id: 1,
    eos_token_id: 1,
    pad_token_id: 0,
    max_position_embeddings: 65_536,
    rope_theta: 500_000,
    rope_scaling: null,
    attention_bias: false,
    hidden_act: 'silu',
    tie_word_embeddings: false,
    dtype: 'float32',
    tokenizer_config: {
      vocab_size: 520,
      bos_token_id: 1,
      pad_token_id: 0,
      eos_token_id: 1,
      bpe_token_end_id: 3,
      special_tokens: ['<pad>', '<bos>', '<eos>', '<bpe_token_end>'],
      special_tokens_first: true,
      original_identifier: tokenizer,
    },
  });

/** Models, by name. */
export const BOLMO_PRESETS: Readonly<Record<string, BolmoPreset>> = {
  'bolmo-1b': {
    config: bolmo({ hidden: 2048, layers: 16, heads: 16, intermediate: 8192, localIntermediate: 2816 }),
    repo: 'allenai/Bolmo-1B',
    description: 'published, 1.47 B parameters, from OLMo 2 1B',
  },
  'bolmo-7b': {
    config: bolmo({ hidden: 4096, layers: 32, heads: 32, intermediate: 11_008, localIntermediate: 5504, slidingWindow: 4096 }),
    repo: 'allenai/Bolmo-7B',
    description: 'published, 7.63 B parameters, from Olmo 3 7B',
  },
  'bolmo-10M': {
    config: bolmo({ hidden: 256, layers: 8, heads: 4, intermediate: 704, localIntermediate: 352, localHeads: 4, subwords: 340, tokenizer: toyTokenizer() }),
    description: '10 M parameters, for measuring; with the tokenizer of the golden cases',
  },
  'bolmo-tiny': {
    config: bolmo({ hidden: 64, layers: 2, heads: 2, intermediate: 176, localIntermediate: 88, localHeads: 2, subwords: 340, tokenizer: toyTokenizer() }),
    description: 'for tests and first steps, with the tokenizer of the golden cases',
  },
};

/** Of 340 entries, with the golden cases. */
function toyTokenizer(): string {
  return fileURLToPath(new URL('../../../fixtures/bolmo/toy_tokenizer', import.meta.url));
}
