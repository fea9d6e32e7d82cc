// ops
export { attention, type AttentionMask, type AttentionOptions } from './ops/attention.js';
export { decodeAttention, type DecodeAttentionOptions } from './ops/decode-attention.js';
export { poolAttention, slotAttention, type PoolAttentionOptions, type SlotAttentionOptions } from './ops/patch-attention.js';
export { applyRotary, type RotaryOptions } from './ops/rotary.js';
// parts
export * as masks from './masks.js';
export type { ChunkRuleOptions, MaskRule } from './masks.js';
export { RotaryEmbedding, rotaryFrequencies, type RotaryConfig } from './rotary-embedding.js';
export { parseRotaryScaling, type RotaryScaling } from './rotary-scaling.js';
export { KvCache, type KvCacheConfig, type KvCacheState, type SlotRange } from './kv-cache.js';
// layers
export { SelfAttention, type SelfAttentionConfig } from './layers/self-attention.js';
export { QkvProjection, type Heads, type PositionsAt, type QkNorm, type QkvProjectionConfig } from './layers/qkv-projection.js';
export { feedForwardWidth, SwiGLU, type SwiGLUConfig, type SwiGLUOrder } from './layers/swiglu.js';
export { TransformerBlock, type TransformerBlockConfig } from './layers/transformer-block.js';
export { TRANSFORMER_NAMES, type AttentionNames, type SwiGLUNames, type TransformerLayout, type TransformerNames } from './layers/names.js';
export { depthInit, type InitStdFactor } from './layers/initialization.js';
export { LatentTransformer, transformerStack, type LatentTransformerConfig } from './layers/latent-transformer.js';
// bytes and patches
export { CROSS_ATTENTION_NAMES, CrossAttention, type CrossAttentionConfig, type CrossAttentionNames } from './layers/cross-attention.js';
export { CrossAttentionBlock, type CrossAttentionBlockConfig } from './layers/cross-attention-block.js';
export { CrossAttentionDecoder, type CrossAttentionDecoderConfig } from './layers/cross-attention-decoder.js';
export { CrossAttentionPool, type CrossAttentionPoolConfig, type CrossAttentionPoolState } from './layers/cross-attention-pool.js';
export { CrossAttentionUnpool, type CrossAttentionUnpoolConfig } from './layers/cross-attention-unpool.js';
export { LayeredEncoder, type LayeredEncoderState } from './layers/layered-encoder.js';
// models
export { EntropyModel, type EntropyModelConfig } from './entropy-model.js';
// tuning on webgpu
export { tuneAttention, type AttentionShape, type AttentionTuning } from './kernels/tuning/tune-attention.js';
export { tuneDecodeAttention, type DecodeShape, type DecodeTuning } from './kernels/tuning/tune-decode.js';
export { tunePatchAttention, type PatchAttentionShape, type PatchAttentionTuning } from './kernels/tuning/tune-patch-attention.js';
export type { TuneAttentionOptions, TunedKernel } from './kernels/tuning/best.js';
export type { DecodePlan } from './kernels/decode-attention/webgpu.js';
export type { AttentionTile } from './kernels/attention/webgpu-shape.js';
