import { ConfigError } from '@bytelm/core';
import { fromHfConfig, type SourceConfig } from '@bytelm/example-olmo';
import type { BoundaryThreshold } from '@bytelm/dynamic-chunking';

/** A Bolmo, as its published `config.json` describes it: the body of a source model, and byte models of the same width around it. */
export interface BolmoConfig {
  /** The source model's layers; its embedding, final norm and head are not used. */
  body: SourceConfig;
  local: {
    encoderLayers: number;
    decoderLayers: number;
    numHeads: number;
    dIntermediate: number;
    /** Of the encoder's last norm and of the norm on patches. The layers themselves use the body's. */
    normEps: number;
  };
  /** Ids of bytes, and as many for bytes that end a patch: 520. */
  vocabSize: number;
  /** Rows of the table of subwords; 0: bytes have no subword vectors. */
  subwordVocabSize: number;
  lookahead: number;
  threshold: BoundaryThreshold;
  /** Where the subword tokenizer is: a repository, or a folder beside the model. `undefined`: in the model's own folder. */
  tokenizer: string | undefined;
  /** Keys of the file that mean nothing here. */
  unknownKeys: string[];
  /** The file itself, to be saved with weights. */
  raw: Readonly<Record<string, unknown>>;
}

const VOCAB_SIZE = 520;
/** Both source models and both training runs have it; configurations converted by the published code lack it. */
const THETA = 500_000;

const KNOWN = new Set(
  ('num_local_encoder_layers num_local_decoder_layers num_local_heads local_intermediate_size local_rms_norm_eps subword_vocab_size add_expanded_embeddings boundary_predictor_lookahead ' +
    'boundary_threshold tokenizer_config block_type norm_type use_qk_norm use_head_qk_norm auto_map').split(' '),
);

/**
 * Reads a published `config.json` (`model_type` bolmo).
 * @throws ConfigError listing every problem at once.
 */
export function parseBolmoConfig(raw: unknown): BolmoConfig {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw new ConfigError(`[parseBolmoConfig] expected the object of a config.json, got ${raw === null ? 'null' : typeof raw}.`);
  const c = raw as Record<string, unknown>;
  if (c.model_type !== 'bolmo') throw new ConfigError(`[parseBolmoConfig] model_type: expected "bolmo", got ${JSON.stringify(c.model_type)}. Hint: source models are read by examples/olmo; byteify makes a Bolmo of one.`);
  const problems: string[] = [];
  const number = (key: string, fallback: number, whole = true, from = 1): number => {
    const v = c[key] ?? fallback;
    if (typeof v === 'number' && v >= from && (whole ? Number.isInteger(v) : v > 0)) return v;
    problems.push(`${key}: expected a ${whole ? `whole number from ${from}` : 'positive number'}, got ${JSON.stringify(v)}`);
    return fallback;
  };
  const only = (key: string, expected: unknown) => {
    if (c[key] !== undefined && c[key] !== null && c[key] !== expected) problems.push(`${key}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(c[key])}`);
  };
  only('vocab_size', VOCAB_SIZE);
  only('tie_word_embeddings', false);
  const body = bodyConfig(c, problems);
  const dModel = body?.dModel ?? 1;
  const lookahead = number('boundary_predictor_lookahead', 1, true, 0);
  if (lookahead > 1) problems.push(`boundary_predictor_lookahead: expected 0 or 1, got ${lookahead}`);
  const local = {
    encoderLayers: number('num_local_encoder_layers', 1),
    decoderLayers: number('num_local_decoder_layers', 4),
    numHeads: number('num_local_heads', 16),
    dIntermediate: number('local_intermediate_size', 8 * Math.ceil((1.375 * dModel) / 8)),
    normEps: number('local_rms_norm_eps', 1e-5, false, 0),
  };
  const expanded = c.add_expanded_embeddings !== false;
  const subwordVocabSize = expanded ? number('subword_vocab_size', 100_278) : 0;
  if (problems.length || !body) throw new ConfigError(`[parseBolmoConfig] ${problems.join('; ')}.`);
  const identifier = (c.tokenizer_config as { original_identifier?: unknown } | undefined)?.original_identifier;
  return {
    body,
    local,
    vocabSize: VOCAB_SIZE,
    subwordVocabSize,
    lookahead,
    threshold: (c.boundary_threshold ?? 'sample:0') as BoundaryThreshold,
    tokenizer: typeof identifier === 'string' ? identifier : undefined,
    unknownKeys: body.unknownKeys.filter((k) => !KNOWN.has(k)),
    raw: c,
  };
}

/** The body is read as the configuration of a source model: Olmo's layers, or Llama's where norms stand in front. */
function bodyConfig(c: Record<string, unknown>, problems: string[]): SourceConfig | undefined {
  const { block_type: block = 'reordered_norm' } = c;
  if (c.use_head_qk_norm === true) problems.push('use_head_qk_norm: expected false, got true: norms of single heads are not known here');
  const model_type = block === 'reordered_norm' ? 'olmo3' : 'llama';
  try {
    return fromHfConfig({ ...c, model_type, rope_theta: c.rope_theta ?? THETA });
  } catch (e) {
    if (!(e instanceof ConfigError)) throw e;
    problems.push(e.message.replace(/^\[fromHfConfig\] /, '').replace(/\.$/, ''));
    return undefined;
  }
}
