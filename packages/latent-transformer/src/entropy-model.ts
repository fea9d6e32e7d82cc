import { ConfigError, Embedding, LinearHead, SequenceLM, type Rng } from '@bytelm/core';
import type { InitStdFactor } from './layers/initialization.js';
import { LatentTransformer } from './layers/latent-transformer.js';
import { feedForwardWidth } from './layers/swiglu.js';

/** Names of what stands around the layers, in the published checkpoint and in its port in transformers. */
const OUTER_NAMES = {
  meta: { embed: 'tok_embeddings', norm: 'norm', head: 'output' },
  llama: { embed: 'embed_tokens', norm: 'norm', head: 'lm_head' },
};

export interface EntropyModelConfig {
  dModel: number;
  numLayers: number;
  numHeads: number;
  /** Default `numHeads`. */
  numKvHeads?: number | undefined;
  /** Width of the gated MLP. Default: that of BLT for this width. */
  dIntermediate?: number | undefined;
  /** Positions that a query sees, its own included; `null`: all earlier ones. Default 512. */
  window?: number | null;
  /** Base of the rotary frequencies. Default 10 000 (not BLT's 500 000). */
  theta?: number;
  /** Default 1e-5. */
  normEps?: number;
  /** Default 260: bytes behind four special ids. */
  vocabSize?: number;
  /** Ids that end a document. Default [2], EOS. */
  documentEnds?: readonly number[];
  /** A newline ends a document too, so that long texts that repeat themselves do not become ever more certain. Default false. */
  resetOnNewline?: boolean;
  /** The id of a newline. Default 14, byte 10 behind four special ids. */
  newlineId?: number;
  /** Names of the parameters: Meta's, or those of transformers' port. Default 'meta'. */
  names?: keyof typeof OUTER_NAMES;
  /** How initial weights shrink with depth. Default 'disabled': they do not. */
  initStdFactor?: InitStdFactor;
}

/**
 * BLT's entropy model: a small causal byte language model with a sliding window, whose uncertainty about the next byte decides where patches begin.
 * Nothing flows over the end of a document. Rotary positions run in pairs (2i, 2i + 1). Train it as any language model here, e.g. with `trainLoop`.
 *
 * Keys: `tok_embeddings.weight` (V, D); `layers.{i}.…` (`attention_norm`, `attention.wq` …, `ffn_norm`, `feed_forward.w1` …); `norm.weight`;
 * `output.weight` (V, D), not tied.
 * @source arXiv 2412.09871, sections 2.3 and 4.2; facebookresearch/blt (`entropy_model.py`).
 * @example
 * const model = new EntropyModel({ dModel: 768, numLayers: 14, numHeads: 12 });
 */
export class EntropyModel extends SequenceLM {
  readonly config: Readonly<EntropyModelConfig>;

  /** @throws ConfigError */
  constructor(config: EntropyModelConfig, rng?: Rng) {
    const { dModel, numLayers, numHeads, numKvHeads, window = 512, theta = 10_000, normEps = 1e-5, vocabSize = 260, initStdFactor = 'disabled' } = config;
    const { dIntermediate = feedForwardWidth(dModel), documentEnds = [2], resetOnNewline = false, newlineId = 14, names: layout = 'meta' } = config;
    const names = OUTER_NAMES[layout];
    const problems: string[] = [];
    if (!names) problems.push(`names: expected one of ${Object.keys(OUTER_NAMES).join(', ')}, got ${JSON.stringify(layout)}`);
    if (window !== null && !(Number.isInteger(window) && window > 0)) problems.push(`window: expected a positive whole number (the own position counts) or null, got ${window}`);
    const ends = [...documentEnds, ...(resetOnNewline ? [newlineId] : [])];
    const odd = ends.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
    if (odd !== undefined) problems.push(`document ends: ${odd} is no id in 0..${vocabSize - 1}`);
    if (problems.length) throw new ConfigError(`[EntropyModel] ${problems.join('; ')}.`);
    const init = { vocabSize, dModel, initStd: dModel ** -0.5, initCut: 3 };
    const backbone = new LatentTransformer(
      { dModel, numLayers, numHeads, numKvHeads, dIntermediate, windowSize: window === null ? -1 : window - 1, theta, interleaved: true, normEps, names: layout, finalNorm: names.norm, initStdFactor },
      rng?.fork('backbone'),
    );
    super(
      { embed: new Embedding(init, rng?.fork('embed')), backbone, head: new LinearHead(init, rng?.fork('head')) },
      { names: { embed: names.embed, backbone: '', head: names.head }, documentEnds: ends },
    );
    this.config = config;
  }
}
