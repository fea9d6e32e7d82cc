import { ConfigError } from '@bytelm/core';
import type { Mamba2Config } from '../config.js';

/** A language model: embedding, pre-norm Mamba-2 blocks, final norm, head. */
export interface Mamba2LMConfig extends Mamba2Config {
  nLayers: number;
  /** Rows of the embedding, padding included. */
  vocabSize: number;
  /** Head and embedding share their weight, default true. */
  tieEmbeddings?: boolean | undefined;
  /** Hidden width of a gated MLP after each mixer [d_intermediate], default 0: none. */
  dIntermediate?: number | undefined;
  /** Keys of a published config that say nothing about the model; kept for export. */
  extra?: Readonly<Record<string, unknown>> | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads any of the published configs: transformers (`config.json` with `hidden_size`), state-spaces (`d_model`, `ssm_cfg`), or
 * Codestral's original `params.json` (`dim`). Infinities must be numbers already (`parseConfig` of `@bytelm/core/io`).
 *
 * @throws ConfigError naming every contradiction, and models that are not Mamba-2.
 */
export function fromPublishedConfig(json: Json): Mamba2LMConfig {
  if ('hidden_size' in json || json.model_type === 'mamba2') return fromHfConfig(json);
  if ('d_model' in json) return fromStateSpacesConfig(json);
  if ('dim' in json) return fromParamsJson(json);
  throw new ConfigError(
    `[Mamba2LM] expected the config of a Mamba-2 model, with \`hidden_size\`, \`d_model\` or \`dim\`; got the keys ${Object.keys(json).join(', ') || 'none'}.`,
  );
}

/** Takes keys off a published config one by one and collects what is wrong. */
class Reader {
  readonly problems: string[] = [];
  private readonly left: Map<string, unknown>;

  constructor(json: Json, private readonly prefix = '') {
    this.left = new Map(Object.entries(json));
  }

  private take<T>(key: string, fallback: T | undefined, expected: string, fits: (v: unknown) => boolean): T {
    const value = this.left.has(key) ? this.left.get(key) : fallback;
    this.left.delete(key);
    if (value === undefined) this.problems.push(`\`${this.prefix}${key}\` is missing`);
    else if (!fits(value)) this.problems.push(`\`${this.prefix}${key}\`: expected ${expected}, got ${JSON.stringify(value)}`);
    return value as T;
  }

  number = (key: string, fallback?: number) => this.take(key, fallback, 'a number', (v) => typeof v === 'number');
  boolean = (key: string, fallback?: boolean) => this.take(key, fallback, 'true or false', (v) => typeof v === 'boolean');
  range = (key: string, fallback?: readonly [number, number]) =>
    this.take(key, fallback, 'two numbers', (v) => Array.isArray(v) && v.length === 2 && v.every((n) => typeof n === 'number'));
  object = (key: string) => this.take<Json>(key, {}, 'an object', (v) => typeof v === 'object' && v !== null && !Array.isArray(v));
  /** A key with a single value that this package can do. */
  only(key: string, value: unknown, why: string, required = false): void {
    const got = this.left.has(key) || required ? this.left.get(key) : value;
    this.left.delete(key);
    if (JSON.stringify(got) !== JSON.stringify(value)) {
      this.problems.push(`\`${this.prefix}${key}\`: only ${JSON.stringify(value)} is supported (${why}), got ${JSON.stringify(got) ?? 'nothing'}`);
    }
  }
  /** Keys that change speed or training of the original, not the model. */
  skip(...keys: string[]): void {
    for (const key of keys) this.left.delete(key);
  }
  get rest(): Record<string, unknown> {
    return Object.fromEntries(this.left);
  }
  /** @throws ConfigError when there are problems. */
  finish(where: string, ...others: Reader[]): void {
    const all = [this, ...others].flatMap((r) => r.problems);
    if (all.length) throw new ConfigError(`[${where}] ${all.length === 1 ? 'a problem' : `${all.length} problems`} in the config: ${all.join('; ')}.`);
  }
}

/** `config.json` of transformers' Mamba2ForCausalLM, with the defaults of its config class. */
export function fromHfConfig(json: Json): Mamba2LMConfig {
  const r = new Reader(json);
  const dModel = r.number('hidden_size', 4096);
  const heads = r.number('num_heads', 128);
  const headDim = r.number('head_dim', 64);
  const expand = r.number('expand', 2);
  if (dModel * expand !== heads * headDim) {
    r.problems.push(`\`num_heads\` * \`head_dim\` must be \`expand\` * \`hidden_size\` = ${dModel * expand}, got ${heads} * ${headDim}`);
  }
  r.only('hidden_act', 'silu', 'of Mamba-2');
  r.only('rms_norm', true, 'the gated norm of transformers');
  const bias = r.boolean('use_bias', false);
  const config: Mamba2LMConfig = {
    dModel,
    headDim,
    expand,
    dState: r.number('state_size', 128),
    // Checkpoint: a config that omits n_groups means 8, the default of the config class.
    numGroups: r.number('n_groups', 8),
    convWidth: r.number('conv_kernel', 4),
    nLayers: r.number('num_hidden_layers', 64),
    vocabSize: r.number('vocab_size', 32768),
    tieEmbeddings: r.boolean('tie_word_embeddings', false),
    bias,
    convBias: r.boolean('use_conv_bias', true),
    eps: r.number('layer_norm_epsilon', 1e-5),
    chunkSize: r.number('chunk_size', 256),
    dtLimit: r.range('time_step_limit', [0, Infinity]),
    dtInitRange: [r.number('time_step_min', 0.001), r.number('time_step_max', 0.1)],
    dtInitFloor: r.number('time_step_floor', 1e-4),
  };
  r.finish('fromHfConfig');
  return { ...config, extra: r.rest };
}

/** `config.json` of state-spaces/mamba. `vocab_size` is rounded up as there; the embedding's row count decides when weights are loaded. */
export function fromStateSpacesConfig(json: Json): Mamba2LMConfig {
  const r = new Reader(json);
  const s = new Reader(r.object('ssm_cfg'), 'ssm_cfg.');
  s.only('layer', 'Mamba2', 'a config without it is a Mamba-1 model', true);
  r.only('attn_layer_idx', [], 'hybrids with attention layers are not Mamba-2 models');
  r.only('rms_norm', true, 'all published Mamba-2 models');
  const multiple = r.number('pad_vocab_size_multiple', 8);
  const given = <T>(reader: Reader, key: string, read: (key: string, fallback: T) => T, fallback: T) => read.call(reader, key, fallback);
  const dModel = r.number('d_model');
  const config: Mamba2LMConfig = {
    dModel,
    nLayers: r.number('n_layer'),
    dIntermediate: r.number('d_intermediate', 0),
    vocabSize: Math.ceil(r.number('vocab_size') / multiple) * multiple,
    tieEmbeddings: r.boolean('tie_embeddings', true),
    dState: s.number('d_state', 128),
    convWidth: s.number('d_conv', 4),
    expand: s.number('expand', 2),
    headDim: s.number('headdim', 64),
    numGroups: s.number('ngroups', 1),
    dPerChannel: s.boolean('D_has_hdim', false),
    rmsNorm: s.boolean('rmsnorm', true),
    normBeforeGate: s.boolean('norm_before_gate', false),
    dtInitRange: [s.number('dt_min', 0.001), s.number('dt_max', 0.1)],
    dtInitFloor: s.number('dt_init_floor', 1e-4),
    dtLimit: given(s, 'dt_limit', s.range, [0, Infinity]),
    aInitRange: given(s, 'A_init_range', s.range, [1, 16]),
    bias: s.boolean('bias', false),
    convBias: s.boolean('conv_bias', true),
    chunkSize: s.number('chunk_size', 256),
  };
  if (s.rest.d_ssm !== undefined && s.rest.d_ssm !== null) config.dSsm = s.number('d_ssm');
  s.skip('d_ssm', 'use_mem_eff_path', 'conv_init');
  // A misspelt option of the layer would silently be a default of the original.
  for (const key of Object.keys(s.rest)) s.problems.push(`unknown key \`ssm_cfg.${key}\``);
  r.finish('fromStateSpacesConfig', s);
  return { ...config, extra: { ...r.rest, pad_vocab_size_multiple: multiple } };
}

/** `params.json` of Codestral Mamba as first published; its tensors carry the prefix `model.`. */
export function fromParamsJson(json: Json): Mamba2LMConfig {
  const r = new Reader(json);
  const multiple = r.number('pad_vocab_size_multiple', 1);
  const config: Mamba2LMConfig = {
    dModel: r.number('dim'),
    nLayers: r.number('n_layers'),
    numGroups: r.number('n_groups', 8),
    vocabSize: Math.ceil(r.number('vocab_size') / multiple) * multiple,
    tieEmbeddings: r.boolean('tie_embeddings', false),
  };
  r.finish('fromParamsJson');
  return { ...config, extra: r.rest };
}
