import { ConfigError, type DeviceDecision, type OnDevice } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { ruleOnDevice } from './rule-on-device.js';
import { RulePatcher, unread, type PatcherOptions, type PatcherState, type PatcherStep } from './patcher.js';

/**
 * Patches end with a delimiter id: the form of BPE patches in which the stream itself says where pieces begin, and the only one that can be
 * decoded with. `withDelimiters` of a `BpePatcher` makes such streams.
 *
 * @source blt.md 2.4. The published code does not look at the last id of a row; here a delimiter closes its patch there, too, or patches
 * would depend on where a row ends.
 */
export class DelimiterPatcher extends RulePatcher {
  readonly delimiter: number;
  readonly onDevice: OnDevice<tf.Tensor2D, DeviceDecision, PatcherState>;

  /** @param options.delimiter Default 3, as BLT's vocabulary has it. */
  constructor(options: PatcherOptions & { delimiter?: number } = {}) {
    super(options);
    this.delimiter = options.delimiter ?? 3;
    if (!(Number.isInteger(this.delimiter) && this.delimiter >= 0 && this.delimiter < this.vocabulary.vocabSize)) {
      throw new ConfigError(`[DelimiterPatcher] delimiter: expected an id of 0..${this.vocabulary.vocabSize - 1}, got ${this.delimiter}.`);
    }
    this.onDevice = ruleOnDevice(this, { closes: '(kind & 2) != 0', kindOf: (id) => (id === this.delimiter ? 2 : 0) });
  }

  initState(batchSize: number): PatcherState {
    return unread(batchSize);
  }

  override describe(): Record<string, unknown> {
    return { ...super.describe(), delimiter: this.delimiter };
  }

  protected closes({ id }: PatcherStep<PatcherState>): boolean {
    return id === this.delimiter;
  }
}
