import type { KernelBackend } from '@tensorflow/tfjs-core';
import { adapterName } from '../adapter.js';
import { mayUseHalf } from '../precision.js';

/** A measured choice: which candidate of a kernel was best, and its time. */
export interface TunedChoice {
  candidate: number;
  ms: number;
}

/** Choices of one kind of device by kernel and shape. */
export type TunedChoices = Record<string, TunedChoice>;

/** Keeps choices between runs: everything measured, by device. */
export interface TuningStore {
  load(): Promise<Record<string, TunedChoices>>;
  save(all: Record<string, TunedChoices>): Promise<void>;
}

/** Raised when candidates or kernels change: what was measured before then no longer counts. */
export const TUNING_VERSION = 1;

const choices = new Map<string, TunedChoices>();
const nameOf = (backend: KernelBackend) => `${TUNING_VERSION}|${adapterName(backend)}`;
/** Names are asked for at every product: found once per device. */
const names = new WeakMap<object, string>();

/** All choices of a device, to be read and added to. */
export function choicesOf(backend: KernelBackend): TunedChoices {
  let name = names.get(backend);
  if (name === undefined) names.set(backend, (name = nameOf(backend)));
  let own = choices.get(name);
  if (!own) choices.set(name, (own = {}));
  return own;
}

/** What was measured while f16 was allowed says nothing to who does not allow it. */
const withHalf = (key: string) => `${key} f16`;

/** The candidate that was best for a kernel and shape, if that was measured. */
export function tunedChoice(backend: KernelBackend, key: string): number | undefined {
  const all = choicesOf(backend);
  return ((mayUseHalf(backend) ? all[withHalf(key)] : undefined) ?? all[key])?.candidate;
}

/** Notes what was found, under the precision that is allowed now. */
export function keepChoice(backend: KernelBackend, key: string, choice: TunedChoice): void {
  choicesOf(backend)[mayUseHalf(backend) ? withHalf(key) : key] = choice;
}

/** Takes up what a store holds. */
export async function loadTuning(store: TuningStore): Promise<void> {
  for (const [name, stored] of Object.entries(await store.load())) choices.set(name, { ...choices.get(name), ...stored });
}

/** Writes all choices, those of other devices in the store included. */
export async function saveTuning(store: TuningStore): Promise<void> {
  const all = await store.load();
  for (const [name, own] of choices) all[name] = { ...all[name], ...own };
  await store.save(all);
}

/** Forgets all choices. */
export const clearTuning = (): void => choices.clear();
