/** Parameter names of an attention layer: one matrix for queries, keys and values, or one for each. */
export type AttentionNames = ({ qkv: string } | { q: string; k: string; v: string }) & {
  o: string;
  /** Default 'q_norm'. */
  qNorm?: string;
  /** Default 'k_norm'. */
  kNorm?: string;
};

/** Parameter names of a gated MLP: gate and value in one matrix, or one for each. */
export type SwiGLUNames = ({ gateUp: string } | { gate: string; up: string }) & { down: string };

/** Parameter names of a transformer block. */
export interface TransformerNames {
  /** The attention's norm, before it or (`normPlacement: 'post'`) after it. */
  norm1: string;
  mixer: string;
  attention: AttentionNames;
  /** The MLP's norm. */
  norm2: string;
  mlp: string;
  swiglu: SwiGLUNames;
}

const HUGGING_FACE = {
  mixer: 'self_attn',
  attention: { q: 'q_proj', k: 'k_proj', v: 'v_proj', o: 'o_proj' },
  mlp: 'mlp',
  swiglu: { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' },
};

/**
 * Names in published checkpoints:
 *
 * - `hnet` goombalab/hnet (fused projections);
 * - `meta` Llama and BLT as Meta stores them (queries and keys in interleaved rotary order);
 * - `llama` Llama, and BLT's port, in transformers;
 * - `olmo` OLMo 2 and 3 and Bolmo in transformers, whose norms come after.
 */
export const TRANSFORMER_NAMES = {
  hnet: { norm1: 'norm1', mixer: 'mixer', attention: { qkv: 'Wqkv', o: 'out_proj' }, norm2: 'norm2', mlp: 'mlp', swiglu: { gateUp: 'fc1', down: 'fc2' } },
  meta: {
    norm1: 'attention_norm',
    mixer: 'attention',
    attention: { q: 'wq', k: 'wk', v: 'wv', o: 'wo' },
    norm2: 'ffn_norm',
    mlp: 'feed_forward',
    swiglu: { gate: 'w1', up: 'w3', down: 'w2' },
  },
  llama: { ...HUGGING_FACE, norm1: 'input_layernorm', norm2: 'post_attention_layernorm' },
  olmo: { ...HUGGING_FACE, norm1: 'post_attention_layernorm', norm2: 'post_feedforward_layernorm' },
} as const satisfies Record<string, TransformerNames>;

export type TransformerLayout = keyof typeof TRANSFORMER_NAMES;
