// Notable: norms behind the branches and RMS norms of whole queries and keys (OLMo 2 and 3); a sliding window in three of four layers, and
// scaled rotary frequencies in the others only (Olmo 3); Llama 3 has norms in front, and its own scaling everywhere.
import { ConfigError } from '@bytelm/core';
import { parseRotaryScaling, type RotaryScaling } from '@bytelm/latent-transformer';

export type Architecture = 'olmo2' | 'olmo3' | 'llama';

/** A source model, as its published `config.json` describes it. */
export interface SourceConfig {
  architecture: Architecture;
  vocabSize: number;
  dModel: number;
  numLayers: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  dIntermediate: number;
  normEps: number;
  theta: number;
  /** One for each layer: earlier positions seen besides the own one, −1 all. */
  windows: number[];
  /** One for each layer. */
  rotaryScaling: (RotaryScaling | null)[];
  maxPositions: number;
  /** The head is the embedding table. */
  isTied: boolean;
  bos: number | null;
  eos: readonly number[];
  /** Standard deviation of initial weights. */
  initStd: number;
  /** Keys of the file that mean nothing here, for a report: they may change the model in ways this code does not know. */
  unknownKeys: string[];
}

const ARCHITECTURES: Record<string, Architecture> = { olmo2: 'olmo2', olmo3: 'olmo3', llama: 'llama' };

/** Keys that are understood, and those that say nothing about the network. */
const KNOWN = new Set(
  ('model_type vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads head_dim intermediate_size rms_norm_eps rope_theta rope_scaling rope_parameters ' +
    'sliding_window layer_types max_position_embeddings tie_word_embeddings attention_bias mlp_bias hidden_act bos_token_id eos_token_id pad_token_id ' +
    'architectures torch_dtype dtype transformers_version use_cache initializer_range attention_dropout pretraining_tp _name_or_path auto_map').split(' '),
);

/**
 * Reads a published `config.json` of OLMo 2, Olmo 3 or Llama.
 * @throws ConfigError listing every problem at once.
 */
export function fromHfConfig(raw: unknown): SourceConfig {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw new ConfigError(`[fromHfConfig] expected the object of a config.json, got ${raw === null ? 'null' : typeof raw}.`);
  const c = raw as Record<string, unknown>;
  const problems: string[] = [];
  const architecture = ARCHITECTURES[String(c.model_type)];
  if (!architecture) throw new ConfigError(`[fromHfConfig] model_type: expected ${Object.keys(ARCHITECTURES).join(', ')}, got ${JSON.stringify(c.model_type)}. Hint: other decoders differ in their layers.`);
  const number = (key: string, fallback?: number, whole = true): number => {
    const v = c[key] ?? fallback;
    if (typeof v === 'number' && v > 0 && (!whole || Number.isInteger(v))) return v;
    problems.push(`${key}: expected a positive ${whole ? 'whole ' : ''}number, got ${JSON.stringify(c[key])}`);
    return 1;
  };
  const only = (key: string, allowed: unknown) => {
    if (c[key] !== undefined && c[key] !== null && c[key] !== allowed) problems.push(`${key}: expected ${JSON.stringify(allowed)}, got ${JSON.stringify(c[key])}`);
  };
  only('hidden_act', 'silu');
  only('mlp_bias', false);
  only('attention_bias', false);
  const [dModel, numLayers, numHeads] = [number('hidden_size'), number('num_hidden_layers'), number('num_attention_heads')];
  const maxPositions = number('max_position_embeddings', 2048);
  const sliding = layerTypes(c, numLayers, architecture, problems).map((t) => t === 'sliding_attention');
  const window = sliding.some(Boolean) ? number('sliding_window', 4096) : 0;
  const rope = (c.rope_parameters ?? c.rope_scaling ?? null) as Record<string, unknown> | null;
  const scaling = readScaling(rope, maxPositions, problems);
  const config: SourceConfig = {
    architecture,
    vocabSize: number('vocab_size'),
    dModel,
    numLayers,
    numHeads,
    numKvHeads: number('num_key_value_heads', numHeads),
    headDim: number('head_dim', dModel / numHeads),
    dIntermediate: number('intermediate_size'),
    normEps: number('rms_norm_eps', 1e-6, false),
    theta: typeof rope?.rope_theta === 'number' ? rope.rope_theta : number('rope_theta', 10000, false),
    // A window of w keys is the own position and w − 1 before it.
    windows: sliding.map((s) => (s ? window - 1 : -1)),
    // Sliding layers keep the frequencies that they were trained with.
    rotaryScaling: sliding.map((s) => (s ? null : scaling)),
    maxPositions,
    isTied: c.tie_word_embeddings === true,
    bos: typeof c.bos_token_id === 'number' ? c.bos_token_id : null,
    eos: [c.eos_token_id ?? []].flat().filter((id): id is number => typeof id === 'number'),
    initStd: number('initializer_range', 0.02, false),
    unknownKeys: Object.keys(c).filter((k) => !KNOWN.has(k)),
  };
  if (problems.length) throw new ConfigError(`[fromHfConfig] ${problems.join('; ')}.`);
  return config;
}

function layerTypes(c: Record<string, unknown>, numLayers: number, architecture: Architecture, problems: string[]): string[] {
  const given = c.layer_types ?? null;
  // The published default of Olmo 3: every fourth layer sees everything.
  if (given === null) return Array.from({ length: numLayers }, (_, i) => (architecture === 'olmo3' && (i + 1) % 4 ? 'sliding_attention' : 'full_attention'));
  const types = Array.isArray(given) ? (given as unknown[]) : [];
  const odd = types.find((t) => t !== 'sliding_attention' && t !== 'full_attention');
  if (types.length !== numLayers) problems.push(`layer_types: expected one for each of ${numLayers} layers, got ${types.length}`);
  else if (odd !== undefined) problems.push(`layer_types: expected 'sliding_attention' or 'full_attention', got ${JSON.stringify(odd)}`);
  return types as string[];
}

function readScaling(rope: Record<string, unknown> | null, maxPositions: number, problems: string[]): RotaryScaling | null {
  try {
    return parseRotaryScaling(rope, maxPositions) ?? null;
  } catch (e) {
    problems.push((e as Error).message.replace(/\.$/, ''));
    return null;
  }
}
