/** One stack of transformer layers: entropy model, local encoder, main network or local decoder. */
export interface StackConfig {
  dModel: number;
  numLayers: number;
  numHeads: number;
  /** Key and value heads; divides `numHeads`. */
  numKvHeads: number;
  /** Hidden width of the gated MLP. */
  dIntermediate: number;
  /** Base of the rotary frequencies. */
  theta: number;
  normEps: number;
  /** Positions a query sees, its own included; `null`: all earlier ones. */
  window: number | null;
}

/** The small byte model whose uncertainty decides where patches begin. */
export interface EntropyModelConfig extends StackConfig {
  vocabSize: number;
  /** Longest sequence it was trained on, bytes. */
  maxPositions: number;
}

export type PatchingMode = 'entropy' | 'space' | 'static' | 'byte' | 'bpe';

/** How byte sequences are cut into patches. */
export interface PatchingConfig {
  mode: PatchingMode;
  /** Nats. A byte whose successor is less certain than this ends its patch. */
  threshold: number;
  /** Nats; with a value, the rule "global and monotonic". */
  addThreshold: number | null;
  /** The rule "approximately monotonic": the rise of the entropy is compared with the threshold. */
  monotonic: boolean;
  /** Bytes; longer patches are cut. */
  maxPatchLength: number | null;
  /** Wanted bytes per patch; the exact number where `mode` is 'static'. */
  patchSize: number;
}

export interface HashConfig {
  /** Lengths n of the n-grams. */
  sizes: number[];
  /** Rows of each table. */
  vocabularySize: number;
  /** Hash functions for each length. */
  numFunctions: number;
}

export interface CrossAttentionConfig {
  /** Vectors that stand for one patch, k. */
  queriesPerChunk: number;
  encoderHeads: number;
  decoderHeads: number;
  /** After which encoder layers patches are read out. */
  encoderLayers: 'last' | 'all';
  /** Before which decoder layers bytes read their patch. */
  decoderLayers: 'first' | 'all';
  /** Patches that are seen, the own included. `null`: the own one only. */
  encoderWindow: number | null;
  decoderWindow: number | null;
}

export type InitStdFactor = 'disabled' | 'current_depth' | 'global_depth' | 'dim_ratio';

/** Everything that decides what a BLT computes, whatever format it was read from. */
export interface BLTConfig {
  /** 256 bytes and 4 special ids. */
  vocabSize: number;
  /** The id that ends a document: nothing after it sees anything before it. */
  eosId: number;
  encoder: StackConfig;
  global: StackConfig;
  decoder: StackConfig;
  crossAttention: CrossAttentionConfig;
  hash: HashConfig;
  patching: PatchingConfig;
  /** `null`: the checkpoint brings none (patching by space, say, or a separate file). */
  entropyModel: EntropyModelConfig | null;
  /** Longest row, bytes, and patches, that the model was trained on. */
  maxBytes: number;
  maxPatches: number;
  /** How initial weights shrink with depth. */
  initStdFactor: InitStdFactor;
}

export type ConfigFormat = 'original' | 'transformers';

/** A configuration file as it was understood. */
export interface ParsedConfig<C = BLTConfig> {
  config: C;
  format: ConfigFormat;
  /** Keys that no rule here knows, with their values, by dotted path. They change nothing and are kept when the model is saved. */
  unknown: Record<string, unknown>;
  /** The file's own content. */
  raw: Record<string, unknown>;
}
