import { ConfigError } from '@bytelm/core';

/** Options of one mixer, by the published defaults. Names of papers and checkpoints in brackets. */
export interface Mamba2Config {
  /** Width of the stream. */
  dModel: number;
  /** State size N [d_state], default 128. */
  dState?: number | undefined;
  /** Head width P [headdim], default 64. */
  headDim?: number | undefined;
  /** Inner width = expand * dModel, default 2. */
  expand?: number | undefined;
  /** Taps K of the convolution [d_conv], default 4. */
  convWidth?: number | undefined;
  /** Groups of heads that share B and C [ngroups], default 1. */
  numGroups?: number | undefined;
  /** Channels that go through the scan [d_ssm]; the rest of the inner width is a gated MLP path. Default: all. */
  dSsm?: number | undefined;
  /** One D per channel instead of one per head [D_has_hdim], default false. */
  dPerChannel?: boolean | undefined;
  /** Gated RMSNorm before the output projection, default true. */
  rmsNorm?: boolean | undefined;
  /** Default false: gate, then norm. */
  normBeforeGate?: boolean | undefined;
  /** Biases of both projections, default false. */
  bias?: boolean | undefined;
  /** Default true. */
  convBias?: boolean | undefined;
  /** Clamp of the step sizes [dt_limit], default [0, Infinity]. */
  dtLimit?: readonly [number, number] | undefined;
  /** Of the gated norm (and of a block's own norms), default 1e-5. */
  eps?: number | undefined;
  /** Positions a chunk at most. A matter of speed; kernels choose when it is absent. */
  chunkSize?: number | undefined;
  /** Normal initial in_proj with this deviation. Default: uniform within 1/sqrt(dModel), as PyTorch does. */
  initStd?: number | undefined;
  /** Normal initial out_proj with this deviation. Default: uniform within 1/sqrt(inner width). */
  outInitStd?: number | undefined;
  /** Factor of the initial out_proj; language models take 1/sqrt(additions to the residual stream). Default 1. */
  outInitScale?: number | undefined;
  /** Initial step sizes are log-uniform in [low, high], default [0.001, 0.1], and at least `dtInitFloor`, default 1e-4. */
  dtInitRange?: readonly [number, number] | undefined;
  dtInitFloor?: number | undefined;
  /** Initial -A is uniform in [low, high], default [1, 16]. */
  aInitRange?: readonly [number, number] | undefined;
}

/** A checked config with every default and derived size filled in. */
export type ResolvedMamba2Config = Readonly<
  { [K in keyof Omit<Mamba2Config, 'chunkSize' | 'initStd' | 'outInitStd'>]-?: NonNullable<Mamba2Config[K]> } & Pick<
    Mamba2Config,
    'chunkSize' | 'initStd' | 'outInitStd'
  > & {
      /** expand * dModel. */
      dInner: number;
      numHeads: number;
      /** Channels of the convolution: dSsm + 2 numGroups dState. */
      convChannels: number;
      /** Rows of in_proj: [MLP gate, MLP value, z, x, B, C, dt]. */
      projRows: number;
      /** Width of the MLP path, dInner - dSsm, usually 0. */
      dMlp: number;
    }
>;

const KNOWN = new Set<string>([
  'dModel', 'dState', 'headDim', 'expand', 'convWidth', 'numGroups', 'dSsm', 'dPerChannel', 'rmsNorm', 'normBeforeGate', 'bias', 'convBias',
  'dtLimit', 'eps', 'chunkSize', 'initStd', 'outInitStd', 'outInitScale', 'dtInitRange', 'dtInitFloor', 'aInitRange',
] satisfies (keyof Mamba2Config)[]);

/**
 * Fills in defaults and derived sizes.
 * @throws ConfigError listing every contradiction and unknown key at once.
 */
export function resolveMamba2Config(config: Mamba2Config): ResolvedMamba2Config {
  const given = Object.fromEntries(Object.entries(config).filter(([, v]) => v !== undefined)) as unknown as Mamba2Config;
  const full = {
    dState: 128, headDim: 64, expand: 2, convWidth: 4, numGroups: 1, dPerChannel: false, rmsNorm: true, normBeforeGate: false, bias: false,
    convBias: true, dtLimit: [0, Infinity] as const, eps: 1e-5, dtInitRange: [0.001, 0.1] as const, dtInitFloor: 1e-4, outInitScale: 1, aInitRange: [1, 16] as const,
    ...given,
  };
  const dInner = full.expand * full.dModel;
  const dSsm = full.dSsm ?? dInner;
  const problems = Object.keys(config).filter((k) => !KNOWN.has(k)).map((k) => `unknown key \`${k}\``);
  const whole = (name: string, v: number) => {
    if (!(Number.isInteger(v) && v > 0)) problems.push(`\`${name}\`: expected a positive whole number, got ${v}`);
  };
  for (const name of ['dModel', 'dState', 'headDim', 'convWidth', 'numGroups'] as const) whole(name, full[name]);
  whole('expand * dModel', dInner);
  if (!(dSsm > 0 && dSsm <= dInner)) problems.push(`\`dSsm\`: expected at most expand * dModel = ${dInner}, got ${dSsm}`);
  if (dSsm % full.headDim !== 0) {
    problems.push(`\`headDim\`: must divide the ${dSsm} channels of the scan (${given.dSsm ? 'dSsm' : `expand * dModel = ${full.expand} * ${full.dModel}`}), got ${full.headDim}`);
  } else if ((dSsm / full.headDim) % full.numGroups !== 0) {
    problems.push(`\`numGroups\`: must divide the ${dSsm / full.headDim} heads, got ${full.numGroups}`);
  }
  const [low, high] = full.dtLimit;
  if (!(low >= 0 && high >= low)) problems.push(`\`dtLimit\`: expected 0 <= low <= high, got [${low}, ${high}]`);
  if (full.chunkSize !== undefined && !(full.chunkSize >= 1)) problems.push(`\`chunkSize\`: expected at least 1, got ${full.chunkSize}`);
  if (!(full.eps > 0)) problems.push(`\`eps\`: expected a positive number, got ${full.eps}`);
  if (problems.length) throw new ConfigError(`[Mamba2] ${problems.length === 1 ? 'a problem' : `${problems.length} problems`} in the config: ${problems.join('; ')}.`);
  const numHeads = dSsm / full.headDim;
  const convChannels = dSsm + 2 * full.numGroups * full.dState;
  return { ...full, dInner, dSsm, dMlp: dInner - dSsm, numHeads, convChannels, projRows: 2 * (dInner - dSsm) + dSsm + convChannels + numHeads };
}
