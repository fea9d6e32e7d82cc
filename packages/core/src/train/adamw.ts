import * as tf from '@tensorflow/tfjs-core';
import { CheckpointError, ConfigError } from '../errors.js';
import type { HostTensor, TensorSource } from '../io/tensor-source.js';
import { adamwStep } from '../kernels/adamw/op.js';
import type { ParameterMap } from '../module/module.js';

/** Parameters that share a rate and a decay. */
export interface ParameterGroup {
  params: ParameterMap | Iterable<readonly [name: string, variable: tf.Variable]>;
  /** Multiplies the learning rate. Default 1. */
  lrMultiplier?: number | undefined;
  /** Decoupled decay. Default: that of the optimizer. */
  weightDecay?: number | undefined;
}

export interface AdamWOptions {
  /** Default [0.9, 0.95]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** For groups without their own. Default 0.1. */
  weightDecay?: number;
}

interface Slot {
  /** Every name of the parameter; state is stored under the first. */
  names: string[];
  variable: tf.Variable;
  lrMultiplier: number;
  weightDecay: number;
  step: number;
  m?: tf.Tensor;
  v?: tf.Tensor;
}

/**
 * AdamW with decoupled weight decay:
 * `p *= 1 − lr·wd; m = β1·m + (1−β1)·g; v = β2·v + (1−β2)·g²; p −= lr · m/(1−β1^t) / (√(v/(1−β2^t)) + eps)`.
 * On wasm parameters and moments are updated in place. A parameter with several names is updated once; one without a gradient is left
 * alone, and its t does not advance.
 *
 * @throws ConfigError when a parameter is in two groups or an option is out of range.
 * @source Loshchilov & Hutter, arXiv 1711.05101; equals torch.optim.AdamW.
 * @example
 * const optimizer = new AdamW([{ params: model.parameters(), weightDecay: 0.1 }]);
 * optimizer.apply(grads, { lr: 1e-3 });
 */
export class AdamW {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  private readonly slots: Slot[] = [];
  private readonly byName = new Map<string, Slot>();

  constructor(groups: readonly ParameterGroup[], options: AdamWOptions = {}) {
    [this.beta1, this.beta2] = options.betas ?? [0.9, 0.95];
    this.eps = options.eps ?? 1e-8;
    const weightDecay = options.weightDecay ?? 0.1;
    const problems = [this.beta1, this.beta2].flatMap((b) => (b >= 0 && b < 1 ? [] : [`betas: expected numbers in [0, 1), got ${b}`]));
    if (!(this.eps >= 0)) problems.push(`eps: expected a number ≥ 0, got ${this.eps}`);
    const bySlot = new Map<tf.Variable, Slot>();
    groups.forEach((group, i) => {
      const settings = { lrMultiplier: group.lrMultiplier ?? 1, weightDecay: group.weightDecay ?? weightDecay };
      for (const [key, value] of Object.entries(settings)) if (!(value >= 0)) problems.push(`group ${i}: ${key}: expected a number ≥ 0, got ${value}`);
      for (const [name, variable] of group.params) {
        let slot = bySlot.get(variable);
        if (slot && (slot.lrMultiplier !== settings.lrMultiplier || slot.weightDecay !== settings.weightDecay)) problems.push(`${name} is in two groups (also as ${slot.names[0]})`);
        if (!slot) bySlot.set(variable, (slot = { names: [], variable, step: 0, ...settings }));
        slot.names.push(name);
        this.byName.set(name, slot);
      }
    });
    if (!bySlot.size) problems.push('expected parameters, got none');
    if (problems.length) throw new ConfigError(`[AdamW] ${problems.join('; ')}. Hint: every parameter belongs to exactly one group.`);
    this.slots = [...bySlot.values()];
  }

  /** Updates made so far: the largest t of any parameter. */
  get step(): number {
    return this.slots.reduce((t, s) => Math.max(t, s.step), 0);
  }

  /**
   * One update. Reads nothing back and does not dispose the gradients.
   * @param options.lr Rate before the groups' multipliers.
   * @param options.scale Scalar on the device that multiplies every gradient (see `clipScale`).
   * @throws ConfigError for a gradient whose name no group has.
   */
  apply(grads: ReadonlyMap<string, tf.Tensor>, { lr, scale }: { lr: number; scale?: tf.Scalar | undefined }): void {
    const unknown = [...grads.keys()].filter((n) => !this.byName.has(n));
    if (unknown.length) throw new ConfigError(`[AdamW] gradients without a parameter: ${unknown.slice(0, 8).join(', ')}. Hint: build the groups from the same model.`);
    for (const slot of this.slots) {
      const name = slot.names.find((n) => grads.has(n));
      if (name !== undefined) this.update(slot, grads.get(name)!, lr, scale);
    }
  }

  private update(slot: Slot, grad: tf.Tensor, lr: number, scale: tf.Scalar | undefined): void {
    const { variable, weightDecay } = slot;
    if (grad.shape.join() !== variable.shape.join()) {
      throw new ConfigError(`[AdamW] gradient of ${slot.names[0]}: expected shape (${variable.shape.join(', ')}), got (${grad.shape.join(', ')}).`);
    }
    slot.m ??= tf.keep(tf.zeros(variable.shape));
    slot.v ??= tf.keep(tf.zeros(variable.shape));
    slot.step++;
    const attrs = { lr: lr * slot.lrMultiplier, beta1: this.beta1, beta2: this.beta2, eps: this.eps, weightDecay, step: slot.step };
    const next = adamwStep({ param: variable, m: slot.m, v: slot.v, grad, scale }, attrs);
    // Nothing comes back from a kernel that has updated in place.
    if (!next.length) return;
    const [param, m, v] = next as [tf.Tensor, tf.Tensor, tf.Tensor];
    variable.assign(param);
    tf.dispose([param, slot.m, slot.v]);
    slot.m = tf.keep(m);
    slot.v = tf.keep(v);
  }

  /** Moments and counters as named tensors (`m.<name>`, `v.<name>`, `step.<name>`), for `saveSafetensors`. Not copies. */
  state(): Map<string, tf.Tensor | HostTensor> {
    const out = new Map<string, tf.Tensor | HostTensor>();
    for (const { names, m, v, step } of this.slots) {
      if (!m || !v) continue;
      out.set(`m.${names[0]}`, m);
      out.set(`v.${names[0]}`, v);
      out.set(`step.${names[0]}`, { dtype: 'int32', shape: [], values: Int32Array.of(step) });
    }
    return out;
  }

  /** Takes up a saved state. @throws CheckpointError when it belongs to other parameters; nothing has changed then. */
  async restore(source: TensorSource): Promise<void> {
    const own = new Map(this.slots.map((s) => [s.names[0]!, s]));
    const problems: string[] = [];
    const present = new Set<string>();
    for (const key of source.names) {
      const [, kind, name] = /^(m|v|step)\.(.*)$/s.exec(key) ?? [];
      const slot = own.get(name!);
      const shape = source.info(key).shape.join();
      if (!slot) problems.push(`${key} is unknown`);
      else if (shape !== (kind === 'step' ? '' : slot.variable.shape.join())) problems.push(`${key} has shape (${shape}), the parameter (${slot.variable.shape.join()})`);
      else present.add(name!);
    }
    for (const name of present) for (const kind of ['m', 'v', 'step']) if (!source.has(`${kind}.${name}`)) problems.push(`${kind}.${name} is missing`);
    if (problems.length) throw new CheckpointError(`[AdamW] ${source.name}: ${problems.slice(0, 10).join('; ')}. Hint: the state belongs to another model or grouping.`);
    for (const [name, slot] of own) {
      tf.dispose([slot.m, slot.v].filter((t) => t !== undefined));
      slot.m = slot.v = undefined;
      slot.step = 0;
      if (!present.has(name)) continue;
      const load = async (kind: 'm' | 'v') => {
        const host = await source.read(`${kind}.${name}`);
        return tf.keep(tf.tensor(host.values, host.shape, 'float32'));
      };
      slot.m = await load('m');
      slot.v = await load('v');
      slot.step = (await source.read(`step.${name}`)).values[0]!;
    }
  }

  /** Frees the moments. */
  dispose(): void {
    for (const slot of this.slots) tf.dispose([slot.m, slot.v].filter((t) => t !== undefined));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Splits parameters into the fewest groups, by the settings that `choose` gives each name.
 * @example groupParameters(model.parameters(), (name) => ({ weightDecay: /norm|bias/.test(name) ? 0 : 0.1 }))
 */
export function groupParameters(parameters: ParameterMap, choose: (name: string, variable: tf.Variable) => Omit<ParameterGroup, 'params'>): ParameterGroup[] {
  const groups = new Map<string, ParameterGroup & { params: ParameterMap }>();
  const settled = new Map<tf.Variable, ParameterMap>();
  for (const [name, variable] of parameters) {
    // A second name of a tied parameter follows the first.
    const tied = settled.get(variable);
    if (tied) {
      tied.set(name, variable);
      continue;
    }
    const settings = choose(name, variable);
    const key = `${settings.lrMultiplier} ${settings.weightDecay}`;
    let group = groups.get(key);
    if (!group) groups.set(key, (group = { ...settings, params: new Map() }));
    group.params.set(name, variable);
    settled.set(variable, group.params);
  }
  return [...groups.values()];
}
