// ops
export { attention, type AttentionMask, type AttentionOptions } from './ops/attention.js';
export { decodeAttention, type DecodeAttentionOptions } from './ops/decode-attention.js';
export { applyRotary, type RotaryOptions } from './ops/rotary.js';
// parts
export { RotaryEmbedding, rotaryFrequencies, type RotaryConfig, type RotaryScaling } from './rotary-embedding.js';
export { KvCache, type KvCacheConfig, type KvCacheState } from './kv-cache.js';
// layers
export { SelfAttention, type SelfAttentionConfig } from './layers/self-attention.js';
export { SwiGLU, type SwiGLUConfig, type SwiGLUOrder } from './layers/swiglu.js';
export { TransformerBlock, type TransformerBlockConfig } from './layers/transformer-block.js';
export { LatentTransformer, transformerStack, type LatentTransformerConfig } from './layers/latent-transformer.js';
