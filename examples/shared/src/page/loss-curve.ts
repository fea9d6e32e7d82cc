import { DataError } from '@bytelm/core';
import { PLOT_CONFIG, plotSvg } from './plot.js';

/** A line of a training log, as `hnet train` writes it; lines of other types are left out. */
export type LogLine = Readonly<Record<string, unknown>>;

export interface LossCurveOptions {
  title?: string;
  /** In pixels. Default 720 x 300. */
  width?: number;
  height?: number;
}

interface Point {
  step: number;
  bitsPerByte: number;
  series: string;
}

/** Steps that are averaged into one point of the training curve are so many that this many points are left. */
const POINTS = 240;

/**
 * The loss of a training run in bits per byte: the mean cross-entropy of every few steps, and a dot for each evaluation on held-out text.
 * @throws DataError when the log has no step.
 */
export function lossCurveSvg(log: readonly LogLine[], { title, width = 720, height = 300 }: LossCurveOptions = {}): Promise<string> {
  const train = trainingPoints(log);
  const heldOut = log
    .filter((l) => l.type === 'evaluation' && isNumber(l.step) && isNumber(l.bitsPerByte))
    .map((l): Point => ({ step: l.step as number, bitsPerByte: l.bitsPerByte as number, series: 'held-out text' }));
  if (!train.length && !heldOut.length) throw new DataError("[lossCurveSvg] the log has no line of type 'step' or 'evaluation' with a loss. Hint: give the lines of a training run's log.jsonl.");
  const x = { field: 'step', type: 'quantitative', title: 'optimizer step' } as const;
  const y = { field: 'bitsPerByte', type: 'quantitative', title: 'bits per byte', scale: { zero: false } } as const;
  const color = { field: 'series', type: 'nominal', title: null, scale: { domain: ['training text', 'held-out text'] } } as const;
  return plotSvg({
    ...(title && { title }),
    width,
    height,
    config: PLOT_CONFIG,
    layer: [
      { data: { values: train }, mark: { type: 'line', strokeWidth: 1.6 }, encoding: { x, y, color } },
      { data: { values: heldOut }, mark: { type: 'line', point: { filled: true, size: 40 }, strokeDash: [4, 3], strokeWidth: 1 }, encoding: { x, y, color } },
    ],
  });
}

/** Means over runs of steps. `crossEntropy` where the log has it: `loss` may contain more. */
function trainingPoints(log: readonly LogLine[]): Point[] {
  const steps = log.flatMap((l) => {
    const nats = isNumber(l.crossEntropy) ? l.crossEntropy : l.loss;
    return l.type === 'step' && isNumber(l.step) && isNumber(nats) ? [{ step: l.step, bits: nats / Math.LN2 }] : [];
  });
  const run = Math.max(1, Math.ceil(steps.length / POINTS));
  const points: Point[] = [];
  for (let i = 0; i < steps.length; i += run) {
    const some = steps.slice(i, i + run);
    const mean = (of: (s: (typeof steps)[number]) => number) => some.reduce((sum, s) => sum + of(s), 0) / some.length;
    points.push({ step: Math.round(mean((s) => s.step)), bitsPerByte: mean((s) => s.bits), series: 'training text' });
  }
  return points;
}

const isNumber = (v: unknown): v is number => typeof v === 'number' && Number.isFinite(v);
