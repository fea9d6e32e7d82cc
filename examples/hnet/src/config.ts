import { ConfigError } from '@bytelm/core';

/** A nested list: `[encoder, inner, decoder]`, innermost `[main]`. Strings are runs of blocks such as `T1m4`. */
export type ArchLayout = [string] | [string, ArchLayout, string];

/** The published `config.json` of an H-Net, key for key. Lists have one entry per stage, outermost first. */
export interface HNetConfig {
  arch_layout: ArchLayout;
  /** Widths; must not decrease. */
  d_model: number[];
  /** SwiGLU hidden sizes, rounded up to a multiple of 128; 0 where no block has an MLP. */
  d_intermediate: number[];
  vocab_size: number;
  ssm_cfg: SsmConfig;
  attn_cfg: { num_heads: number[]; rotary_emb_dim: number[]; window_size: number[] };
  tie_embeddings: boolean;
}

/** Mamba-2 settings; a value may be a list with one entry per stage. */
export interface SsmConfig {
  d_state: number | number[];
  d_conv: number | number[];
  expand: number | number[];
  /** Block length of the scan: changes speed and rounding, never the result. */
  chunk_size: number | number[];
}

export type BlockLetter = 'm' | 'M' | 't' | 'T';

const KEYS: Record<string, readonly string[] | undefined> = {
  arch_layout: undefined,
  d_model: undefined,
  d_intermediate: undefined,
  vocab_size: undefined,
  ssm_cfg: ['d_state', 'd_conv', 'expand', 'chunk_size'],
  attn_cfg: ['num_heads', 'rotary_emb_dim', 'window_size'],
  tie_embeddings: undefined,
};
export const HEAD_DIM = 64;

/**
 * Letters of a stack: m Mamba-2, M Mamba-2 + SwiGLU, t attention, T attention + SwiGLU.
 * @example parseStack('T1m4') // ['T', 'm', 'm', 'm', 'm']
 * @throws ConfigError for anything else (the published code skips it silently).
 */
export function parseStack(layout: string): BlockLetter[] {
  if (!/^([mMtT][1-9]\d*)+$/.test(layout)) {
    throw new ConfigError(`[HNetConfig] layout '${layout}': expected letters m, M, t, T each with a count of at least 1, e.g. 'T1m4'.`);
  }
  return [...layout.matchAll(/([mMtT])(\d+)/g)].flatMap(([, letter, count]) => Array<BlockLetter>(Number(count)).fill(letter as BlockLetter));
}

/** The stacks of a layout by stage: `[encoder, decoder]` of outer stages, `[main]` of the innermost. */
export function stacksByStage(layout: ArchLayout): string[][] {
  return layout.length === 1 ? [[layout[0]]] : [[layout[0], layout[2]], ...stacksByStage(layout[1])];
}

/** The value of a setting at one stage. */
export const atStage = <T>(value: T | T[], stage: number): T => (Array.isArray(value) ? value[stage]! : value);

/**
 * Checks a config (as read from JSON) completely.
 * @throws ConfigError naming every problem at once: unknown and missing keys, bad layouts, contradictory sizes.
 */
export function resolveHNetConfig(raw: unknown): HNetConfig {
  const problems: string[] = [];
  const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
  if (!isObject(raw)) throw new ConfigError('[HNetConfig] expected an object with arch_layout, d_model, …');
  const checkKeys = (value: Record<string, unknown>, known: readonly string[], at: string) => {
    for (const k of Object.keys(value)) if (!known.includes(k)) problems.push(`unknown key ${at}${k} (known: ${known.join(', ')})`);
    for (const k of known) if (value[k] === undefined) problems.push(`missing key ${at}${k}`);
  };
  checkKeys(raw, Object.keys(KEYS), '');
  for (const [key, inner] of Object.entries(KEYS)) {
    if (!inner || raw[key] === undefined) continue;
    if (isObject(raw[key])) checkKeys(raw[key], inner, `${key}.`);
    else problems.push(`${key}: expected an object`);
  }
  if (problems.length) throw fail(problems);
  const config = raw as unknown as HNetConfig;
  const layoutProblem = checkLayout(config.arch_layout);
  if (layoutProblem) throw fail([layoutProblem]);
  const stacks = stacksByStage(config.arch_layout);
  const S = stacks.length;
  const perStage: [string, unknown][] = [
    ['d_model', config.d_model],
    ['d_intermediate', config.d_intermediate],
    ...Object.entries(config.attn_cfg).map(([k, v]) => [`attn_cfg.${k}`, v] as [string, unknown]),
    ...Object.entries(config.ssm_cfg)
      .filter(([, v]) => Array.isArray(v))
      .map(([k, v]) => [`ssm_cfg.${k}`, v] as [string, unknown]),
  ];
  for (const [name, list] of perStage) {
    if (!Array.isArray(list) || list.length !== S) problems.push(`${name}: expected a list of ${S} (one per stage of arch_layout), got ${JSON.stringify(list)}`);
    else if (!list.every((v) => Number.isInteger(v))) problems.push(`${name}: expected whole numbers, got ${JSON.stringify(list)}`);
  }
  if (!Number.isInteger(config.vocab_size) || config.vocab_size < 2) problems.push(`vocab_size: expected a whole number above 1, got ${config.vocab_size}`);
  if (typeof config.tie_embeddings !== 'boolean') problems.push(`tie_embeddings: expected true or false, got ${JSON.stringify(config.tie_embeddings)}`);
  if (problems.length) throw fail(problems);
  for (let s = 0; s < S; s++) problems.push(...stageProblems(config, stacks[s]!, s));
  if (problems.length) throw fail(problems);
  return config;
}

function stageProblems(config: HNetConfig, stacks: string[], s: number): string[] {
  const out: string[] = [];
  const letters = stacks.flatMap(parseStack);
  const D = config.d_model[s]!;
  if (!(D > 0)) out.push(`d_model[${s}]: expected a positive width, got ${D}`);
  if (s > 0 && D < config.d_model[s - 1]!) out.push(`d_model[${s}] = ${D} is below d_model[${s - 1}] = ${config.d_model[s - 1]}: widths must not decrease inwards`);
  const usesMlp = letters.some((l) => l === 'M' || l === 'T');
  const F = config.d_intermediate[s]!;
  if (usesMlp && !(F > 0)) out.push(`d_intermediate[${s}]: stage ${s} has M or T blocks, which need a hidden size above 0, got ${F}`);
  if (!usesMlp && F !== 0) out.push(`d_intermediate[${s}] = ${F}, but stage ${s} (${stacks.join(', ')}) has no M or T block: expected 0`);
  if (letters.some((l) => l === 'm' || l === 'M')) {
    const inner = atStage(config.ssm_cfg.expand, s) * D;
    if (inner % HEAD_DIM) out.push(`ssm_cfg.expand * d_model[${s}] = ${inner} is not a multiple of the head width ${HEAD_DIM}`);
    for (const key of ['d_state', 'd_conv', 'expand', 'chunk_size'] as const) {
      const v = atStage(config.ssm_cfg[key], s);
      if (!(Number.isInteger(v) && v > 0)) out.push(`ssm_cfg.${key}: expected a positive whole number, got ${v}`);
    }
  }
  if (letters.some((l) => l === 't' || l === 'T')) {
    const H = config.attn_cfg.num_heads[s]!;
    const R = config.attn_cfg.rotary_emb_dim[s]!;
    if (!(H > 0) || D % H) out.push(`attn_cfg.num_heads[${s}] = ${H} does not divide d_model[${s}] = ${D}`);
    else if (R < 0 || R % 2 || R > D / H) out.push(`attn_cfg.rotary_emb_dim[${s}] = ${R}: expected an even number from 0 to the head width ${D / H}`);
    if (config.attn_cfg.window_size[s]! < -1) out.push(`attn_cfg.window_size[${s}]: expected -1 (all) or a number of earlier positions, got ${config.attn_cfg.window_size[s]}`);
  }
  return out;
}

function checkLayout(layout: unknown, depth = 0): string | null {
  if (!Array.isArray(layout) || (layout.length !== 1 && layout.length !== 3)) {
    return `arch_layout at depth ${depth}: expected [main] or [encoder, inner, decoder], got ${JSON.stringify(layout)}`;
  }
  for (const item of layout.length === 1 ? layout : [layout[0], layout[2]]) {
    if (typeof item !== 'string') return `arch_layout at depth ${depth}: expected a string such as 'm4', got ${JSON.stringify(item)}`;
    parseStack(item);
  }
  return layout.length === 3 ? checkLayout(layout[1], depth + 1) : null;
}

const fail = (problems: string[]) => new ConfigError(`[HNetConfig] ${problems.length} problem${problems.length > 1 ? 's' : ''}:\n  ${problems.join('\n  ')}`);
