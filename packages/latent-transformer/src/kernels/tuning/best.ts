import type { KernelBackend } from '@tensorflow/tfjs-core';
import { ConfigError } from '@bytelm/core';
import { measureCandidates, type Candidate, type TuningStore } from '@bytelm/core/webgpu';
import { canHave, VARIANTS } from '../attention/webgpu-tiles.js';
import type { Form } from '../attention/webgpu-text.js';

export interface TuneAttentionOptions {
  /** Measured choices are saved there. */
  store?: TuningStore;
  /** Time for one candidate, ms. Default 10. */
  budget?: number;
  /** Also on adapters emulated on the CPU, where the defaults are as good. Default false. */
  allowSoftware?: boolean;
}

/** What was found for a kernel and shape. */
export interface TunedKernel {
  kernel: string;
  /** The fastest candidate, and its time. */
  choice: string;
  ms: number;
  /** Candidates whose values differ from those of the rule's: a driver's fault. They are never chosen. */
  wrong: string[];
}

/** What a form may change of values: sums in another order, or factors in ±1 of eleven bits. */
export const toleranceOf = (form: Form): number => (form.half ? 4e-3 : 1e-4);

/** Those of `all` that are asked for: only what is in the list can be kept as a choice. @throws ConfigError for others. */
export function listed<T>(all: readonly T[], wanted: readonly T[] | undefined, nameOf: (item: T) => string): readonly T[] {
  if (!wanted) return all;
  const byName = new Map(all.map((item) => [nameOf(item), item]));
  return wanted.map((item) => {
    const found = byName.get(nameOf(item));
    if (!found) throw new ConfigError(`[tuning] expected some of ${[...byName.keys()].join('; ')}, got ${nameOf(item)}.`);
    return found;
  });
}

/**
 * The fastest of `bases`, and then of that one in the forms that the device has and the user allows: fewer to measure than all of both.
 * @param bases the one by rule first, which the values of all others are compared with.
 */
export async function fastest<T extends Form>(backend: KernelBackend, bases: readonly T[], candidate: (choice: T) => Candidate, { budget = 10 }: TuneAttentionOptions, withForms: boolean): Promise<{ choice: T } & Omit<TunedKernel, 'kernel' | 'choice'>> {
  const base = await measureCandidates(backend, bases.map(candidate), budget);
  const sized = bases[base.best]!;
  const formed = VARIANTS.slice(1).map((form) => ({ ...sized, ...form })).filter((choice) => withForms && canHave(backend, choice));
  if (!formed.length) return { choice: sized, ms: base.ms, wrong: base.wrong };
  const all = [sized, ...formed];
  const { best, ms, wrong } = await measureCandidates(backend, all.map(candidate), budget);
  return { choice: all[best]!, ms, wrong: [...base.wrong, ...wrong] };
}
