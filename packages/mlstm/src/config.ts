import { ConfigError } from '@bytelm/core';

/** Options of one mLSTM layer, by the published defaults. Names of papers and checkpoints in brackets. */
export interface MLSTMConfig {
  /** Width of the stream. */
  dModel: number;
  /** Default 4 [num_local_heads]. */
  numHeads?: number | undefined;
  /** Queries and keys of all heads together are this share of dModel wide [qk_dim_factor], default 0.5. */
  qkFactor?: number | undefined;
  /** Values of all heads together [v_dim_factor], default 1. */
  vFactor?: number | undefined;
  /** Soft cap of both gates' pre-activations, default 15; `null`: none. */
  gateSoftCap?: number | null | undefined;
  /** In the cell's denominator, default 1e-6. */
  cellEps?: number | undefined;
  /** Of the LayerNorm over each head, default 1e-6. The start with closed input gates relies on it: smaller outputs stay small. */
  headNormEps?: number | undefined;
  /** Positions a chunk at most. A matter of speed; kernels choose when it is absent. */
  chunkSize?: number | undefined;
  /** 'true' (default) or 'published': the backward pass, see `mlstm`. Through the layer's norm they agree to about 4e-5. */
  gradient?: 'true' | 'published' | undefined;
  /** Initial bias of every input gate, default -10: closed, the layer starts near zero. */
  inputGateBias?: number | undefined;
  /** Initial biases of the forget gates, spread evenly over the heads from low to high. Default: near 0, uniform within 1/sqrt(dModel). */
  forgetGateBias?: readonly [number, number] | undefined;
}

/** A checked config with every default and derived size filled in. */
export type ResolvedMLSTMConfig = Readonly<
  { [K in keyof Omit<MLSTMConfig, 'chunkSize' | 'forgetGateBias' | 'gateSoftCap'>]-?: NonNullable<MLSTMConfig[K]> } & Pick<
    MLSTMConfig,
    'chunkSize' | 'forgetGateBias'
  > & {
      /** `undefined`: none. */
      gateSoftCap: number | undefined;
      /** Queries, and keys, of all heads: qkFactor * dModel. */
      qkDim: number;
      /** vFactor * dModel. */
      vDim: number;
      /** Of one head. */
      keyDim: number;
      valueDim: number;
    }
>;

const KNOWN = new Set<string>([
  'dModel', 'numHeads', 'qkFactor', 'vFactor', 'gateSoftCap', 'cellEps', 'headNormEps', 'chunkSize', 'gradient', 'inputGateBias', 'forgetGateBias',
] satisfies (keyof MLSTMConfig)[]);

/**
 * Fills in defaults and derived sizes.
 * @throws ConfigError listing every contradiction and unknown key at once.
 */
export function resolveMLSTMConfig(config: MLSTMConfig): ResolvedMLSTMConfig {
  const given = Object.fromEntries(Object.entries(config).filter(([, v]) => v !== undefined)) as unknown as MLSTMConfig;
  const full = {
    numHeads: 4, qkFactor: 0.5, vFactor: 1, gateSoftCap: 15, cellEps: 1e-6, headNormEps: 1e-6, gradient: 'true' as const, inputGateBias: -10, ...given,
  };
  const [qkDim, vDim] = [full.qkFactor * full.dModel, full.vFactor * full.dModel];
  const problems = Object.keys(config).filter((k) => !KNOWN.has(k)).map((k) => `unknown key \`${k}\``);
  const whole = (name: string, v: number): boolean => {
    const ok = Number.isInteger(v) && v > 0;
    if (!ok) problems.push(`\`${name}\`: expected a positive whole number, got ${v}`);
    return ok;
  };
  whole('dModel', full.dModel);
  if (whole('numHeads', full.numHeads)) {
    for (const [name, dim] of [['qkFactor * dModel', qkDim], ['vFactor * dModel', vDim]] as const) {
      if (whole(name, dim) && dim % full.numHeads !== 0) problems.push(`\`numHeads\`: must divide ${name} = ${dim}, got ${full.numHeads}`);
    }
  }
  if (full.gateSoftCap !== null && !(full.gateSoftCap > 0)) problems.push(`\`gateSoftCap\`: expected a positive number or null, got ${full.gateSoftCap}`);
  for (const name of ['cellEps', 'headNormEps'] as const) if (!(full[name] > 0)) problems.push(`\`${name}\`: expected a positive number, got ${full[name]}`);
  if (full.chunkSize !== undefined && !(full.chunkSize >= 1)) problems.push(`\`chunkSize\`: expected at least 1, got ${full.chunkSize}`);
  if (full.gradient !== 'true' && full.gradient !== 'published') problems.push(`\`gradient\`: expected 'true' or 'published', got ${JSON.stringify(full.gradient)}`);
  if (problems.length) throw new ConfigError(`[MLSTMLayer] ${problems.length === 1 ? 'a problem' : `${problems.length} problems`} in the config: ${problems.join('; ')}.`);
  return { ...full, gateSoftCap: full.gateSoftCap ?? undefined, qkDim, vDim, keyDim: qkDim / full.numHeads, valueDim: vDim / full.numHeads };
}
