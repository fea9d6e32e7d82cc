import { ConfigError } from '../errors.js';
import type { Schedule } from './types.js';

/** How the rate falls: `sqrt` = 1 − √progress, `linear` = 1 − progress, `cosine` = (1 + cos(π·progress)) / 2. */
export type DecayShape = 'sqrt' | 'linear' | 'cosine';

const SHAPES: Record<DecayShape, (progress: number) => number> = {
  sqrt: (x) => 1 - Math.sqrt(x),
  linear: (x) => 1 - x,
  cosine: (x) => (1 + Math.cos(Math.PI * x)) / 2,
};

export interface ScheduleOptions {
  /** Highest learning rate. */
  peak: number;
  /** Updates of the whole run. */
  steps: number;
  /** Share of the run that warms up linearly. Default 0.1. */
  warmup?: number;
  /** Rate after the last update, as a share of `peak`. Default 0. */
  final?: number;
}

/**
 * Warm-up, stable, decay: linear warm-up, constant, and a last stretch that falls to `final`. The rate is `peak` at the end of the
 * warm-up and still above `final` at the last update, so that no update is wasted.
 *
 * @param options.decay Share of the run that decays. Default 0.2.
 * @param options.shape Default `sqrt`.
 * @source H-Net, arXiv 2507.07955, section 3 (10 % and 20 %); the 1 − √ curve is that of Hägele et al., arXiv 2405.18392.
 */
export function wsd(options: ScheduleOptions & { decay?: number; shape?: DecayShape }): Schedule {
  const { peak, steps, warmup = 0.1, final = 0, decay = 0.2, shape = 'sqrt' } = options;
  check('wsd', { peak, steps, warmup, final, decay });
  if (warmup + decay > 1) throw new ConfigError(`[wsd] expected warmup + decay ≤ 1, got ${warmup} + ${decay}. Hint: shorten one of them.`);
  if (!Object.hasOwn(SHAPES, shape)) throw new ConfigError(`[wsd] shape: expected sqrt, linear or cosine, got ${shape}.`);
  return decaying(peak, steps, Math.round(steps * warmup), Math.round(steps * decay), final, SHAPES[shape]);
}

/** Linear warm-up, then half a cosine down to `final`. */
export function cosine(options: ScheduleOptions): Schedule {
  const { peak, steps, warmup = 0.1, final = 0 } = options;
  check('cosine', { peak, steps, warmup, final });
  const warm = Math.round(steps * warmup);
  return decaying(peak, steps, warm, steps - warm, final, SHAPES.cosine);
}

/** Linear warm-up over `warmupSteps` updates, then constant. */
export function linearWarmup({ peak, warmupSteps }: { peak: number; warmupSteps: number }): Schedule {
  check('linearWarmup', { peak, warmupSteps });
  return (step) => peak * Math.min(1, (step + 1) / Math.max(1, warmupSteps));
}

function decaying(peak: number, steps: number, warm: number, fall: number, final: number, shape: (progress: number) => number): Schedule {
  return (step) => {
    if (step < warm) return (peak * (step + 1)) / warm;
    const progress = Math.min(1, Math.max(0, (step - (steps - fall) + 1) / (fall + 1)));
    return fall > 0 ? peak * (final + (1 - final) * shape(progress)) : peak;
  };
}

function check(where: string, values: Record<string, number>): void {
  const shares = ['warmup', 'decay', 'final'];
  const problems = Object.entries(values).flatMap(([name, v]) => {
    if (shares.includes(name)) return v >= 0 && v <= 1 ? [] : [`${name}: expected a share from 0 to 1, got ${v}`];
    if (name === 'peak') return v > 0 && Number.isFinite(v) ? [] : [`peak: expected a positive rate, got ${v}`];
    return Number.isInteger(v) && v >= 0 ? [] : [`${name}: expected a whole number, got ${v}`];
  });
  if (problems.length) throw new ConfigError(`[${where}] ${problems.join('; ')}.`);
}
