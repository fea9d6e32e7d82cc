import { mapKeys, type KeyMap, type KeyRule } from '@bytelm/core/io';

/** Names inside a transformer layer: transformers → original. The port keeps interleaved rotation, so values are the same. */
const layer = (from: string, to: string): KeyRule[] => [
  ...(['q', 'k', 'v', 'o'] as const).map((w): KeyRule => [`${from}.{i}.self_attn.${w}_proj.weight`, `${to}.{i}.attention.w${w}.weight`]),
  [`${from}.{i}.mlp.gate_proj.weight`, `${to}.{i}.feed_forward.w1.weight`],
  [`${from}.{i}.mlp.up_proj.weight`, `${to}.{i}.feed_forward.w3.weight`],
  [`${from}.{i}.mlp.down_proj.weight`, `${to}.{i}.feed_forward.w2.weight`],
  [`${from}.{i}.input_layernorm.weight`, `${to}.{i}.attention_norm.weight`],
  [`${from}.{i}.post_attention_layernorm.weight`, `${to}.{i}.ffn_norm.weight`],
];

const cross = (part: string): KeyRule[] => [
  ...(['q', 'k', 'v', 'o'] as const).map((w): KeyRule => [`model.${part}.cross_attn_layers.{i}.${w}_proj.weight`, `${part}.cross_attn_layers.{i}.w${w}.weight`]),
  [`model.${part}.cross_attn_layers.{i}.q_norm.weight`, `${part}.cross_attn_layers.{i}.cross_attn_norm_q.weight`],
  [`model.${part}.cross_attn_layers.{i}.k_norm.weight`, `${part}.cross_attn_layers.{i}.cross_attn_norm_kv.weight`],
];

/** One matrix of all hash tables, as transformers keeps it; `splitHashTables` cuts it. */
export const FUSED_HASH_TABLES = 'encoder_hash_tok_embedding.weight';
/** Where transformers keeps the entropy model. */
export const PATCHER_PREFIX = 'model.patcher.';

/** BLT in transformers → original. Hash tables stay one matrix: `FUSED_HASH_TABLES`. */
export const BLT_KEYS: KeyMap = mapKeys([
  ['model.local_encoder.embed_tokens.weight', 'local_encoder.tok_embeddings.weight'],
  ['lm_head.weight', 'local_decoder.output.weight'],
  ...['local_encoder', 'global_transformer', 'local_decoder'].flatMap((part) => layer(`model.${part}.layers`, `${part}.layers`)),
  ...cross('local_encoder'),
  ...cross('local_decoder'),
  ['model.{rest...}', '{rest...}'],
]);

/** Entropy model in transformers (without `PATCHER_PREFIX`) → original. */
export const ENTROPY_KEYS: KeyMap = mapKeys([
  ['embed_tokens.weight', 'tok_embeddings.weight'],
  ['lm_head.weight', 'output.weight'],
  ...layer('layers', 'layers'),
]);
