/** One training of the comparison: a command line of this example. */
export interface Job {
  name: string;
  variant: Variant;
  seed: number;
  args: string[];
}

export const VARIANTS = ['entropy', 'space', 'strided', 'one patch', 'no hashes', 'bpe'] as const;
export type Variant = (typeof VARIANTS)[number];

export const DESCRIPTIONS: Record<Variant, string> = {
  entropy: 'patches by entropy',
  space: 'patches by space',
  strided: 'patches of equal length',
  'one patch': 'control: one patch a window, so no main network to speak of',
  'no hashes': 'patches by entropy, one row a hash table: no n-grams',
  bpe: 'transformer over BPE tokens, equal FLOPs a byte',
};

export interface JobOptions {
  data: string[];
  range: string;
  /** Bytes that each model sees. */
  bytes: number;
  seeds: readonly number[];
  /** Mean patch length of all variants that have one. */
  bytesPerPatch: number;
  backend: string;
  /** Folder of all runs. */
  runs: string;
  entropyModel: string;
  batch: number;
  length: number;
  /** Files with the models' configuration, and with the one without n-grams. */
  config: string;
  withoutHashes: string;
}

/** Every training that the table needs, the quickest answers first: all variants of one seed, then of the next. */
export function jobsOf(options: JobOptions): Job[] {
  return options.seeds.flatMap((seed) => VARIANTS.map((variant) => ({ name: `${variant.replace(' ', '-')}-${seed}`, variant, seed, args: variant === 'bpe' ? [] : argsOf(variant, seed, options) })));
}

function argsOf(variant: Exclude<Variant, 'bpe'>, seed: number, o: JobOptions): string[] {
  const byEntropy = ['--entropy-model', o.entropyModel, '--bytes-per-patch', String(o.bytesPerPatch)];
  const patcher: Record<typeof variant, string[]> = {
    entropy: byEntropy,
    space: ['--patcher', 'space'],
    strided: ['--patcher', 'strided', '--patch-size', String(Math.round(o.bytesPerPatch))],
    'one patch': ['--patcher', 'strided', '--patch-size', String(o.length)],
    'no hashes': byEntropy,
  };
  return [
    ...['train', '--config', variant === 'no hashes' ? o.withoutHashes : o.config, ...patcher[variant]],
    ...['--data', ...o.data, '--range', o.range, '--steps', String(stepsOf(o)), '--batch', String(o.batch), '--length', String(o.length)],
    ...['--eval-every', '0', '--save-every', '100', '--keep', '1', '--seed', String(seed), '--backend', o.backend],
  ];
}

export const stepsOf = ({ bytes, batch, length }: Pick<JobOptions, 'bytes' | 'batch' | 'length'>): number => Math.ceil(bytes / (batch * length));
