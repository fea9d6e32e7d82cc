import { plotSvg, PLOT_CONFIG } from '@bytelm/example-shared/page';
import { DESCRIPTIONS, VARIANTS, type Variant } from './jobs.js';
import { NOISES } from './noise.js';
import type { Scores } from './score.js';

export interface Result extends Scores {
  name: string;
  variant: Variant;
  seed: number;
  /** Bytes a patch (a token) on the test text. */
  bytesPerPatch: number;
  bytesSeen: number;
  parameters: number;
  /** Forward, the entropy model's included. */
  flopsPerByte: number;
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** A table of means over seeds with the range of each, and what it says for or against the claims. */
export function claimsTable(results: readonly Result[]): string {
  const of = (variant: Variant) => results.filter((r) => r.variant === variant);
  const there = VARIANTS.filter((v) => of(v).length);
  const spread = (values: readonly number[]) => (values.length > 1 ? ` (${Math.min(...values).toFixed(3)}–${Math.max(...values).toFixed(3)})` : '');
  const row = (v: Variant) => {
    const own = of(v);
    const bpb = own.map((r) => r.bitsPerByte);
    const context = mean(own.map((r) => mean(NOISES.map((n) => r.noisedContext[n]))));
    const all = mean(own.map((r) => mean(NOISES.map((n) => r.noisedText[n]))));
    return `| ${v} | ${DESCRIPTIONS[v]} | ${mean(own.map((r) => r.bytesPerPatch)).toFixed(2)} | ${(own[0]!.flopsPerByte / 1e6).toFixed(2)} | ${mean(bpb).toFixed(3)}${spread(bpb)} | +${context.toFixed(3)} | ${all.toFixed(3)} | ${own.length} |`;
  };
  return [
    '| variant | what | bytes per patch | MFLOP per byte | bits per byte | behind a spoiled context | all spoiled | seeds |',
    '|---|---|---|---|---|---|---|---|',
    ...there.map(row),
    '',
    `Spoiled: mean over ${NOISES.join(', ')}; bits per byte of the clean text.`,
    '',
    ...verdicts(results),
  ].join('\n');
}

/** Of a single seed, differences below this say nothing. */
const LEAST = 0.02;

/** Each claim with what was found. A difference counts when the seeds' ranges do not touch. */
export function verdicts(results: readonly Result[]): string[] {
  const bpb = (v: Variant) => results.filter((r) => r.variant === v).map((r) => r.bitsPerByte);
  const less = (a: Variant, b: Variant, claim: string): string[] => {
    const [x, y] = [bpb(a), bpb(b)];
    if (!x.length || !y.length) return [];
    const difference = mean(x) - mean(y);
    const few = Math.min(x.length, y.length) < 3 && Math.abs(difference) < LEAST;
    const clear = few ? `not decided: three seeds are needed below ${LEAST}` : Math.max(...x) < Math.min(...y) ? 'found' : Math.min(...x) > Math.max(...y) ? 'the opposite was found' : 'not decided: the seeds overlap';
    return [`- ${claim}: ${clear} (${difference < 0 ? '' : '+'}${difference.toFixed(3)} bits per byte).`];
  };
  const robust = (of: (r: Result) => number, claim: string): string[] => {
    const [bytes, tokens] = [results.filter((r) => r.variant === 'entropy').map(of), results.filter((r) => r.variant === 'bpe').map(of)];
    if (!bytes.length || !tokens.length) return [];
    return [`- ${claim}: ${mean(bytes) < mean(tokens) ? 'found' : 'the opposite was found'} (${(100 * mean(bytes)).toFixed(1)} % against ${(100 * mean(tokens)).toFixed(1)} % more bits per byte).`];
  };
  const context = (r: Result) => mean(NOISES.map((n) => r.noisedContext[n])) / r.bitsPerByte;
  const all = (r: Result) => mean(NOISES.map((n) => r.noisedText[n])) / r.bitsPerByte - 1;
  return [
    ...less('entropy', 'space', 'patches by entropy are better than by space'),
    ...less('space', 'strided', 'patches by space are better than of equal length'),
    ...less('entropy', 'one patch', 'the main network helps'),
    ...less('entropy', 'no hashes', 'hash n-grams help'),
    ...robust(context, 'bytes lose less than tokens behind a spoiled context'),
    ...robust(all, 'bytes lose less than tokens on spoiled text'),
  ];
}

/** Bits per byte of each run, by variant. */
export function claimsPlot(results: readonly Result[]): Promise<string> {
  return plotSvg({
    title: 'Bits per byte on the test text, one point a seed',
    width: 620,
    height: 240,
    config: PLOT_CONFIG,
    data: { values: results.map(({ variant, bitsPerByte }) => ({ variant, bitsPerByte })) },
    mark: { type: 'point', filled: true, size: 70 },
    encoding: {
      y: { field: 'variant', type: 'nominal', sort: [...VARIANTS], title: null },
      x: { field: 'bitsPerByte', type: 'quantitative', title: 'bits per byte', scale: { zero: false } },
      color: { field: 'variant', type: 'nominal', legend: null },
    },
  });
}
