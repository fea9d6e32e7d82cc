import type { DeviceDecision, OnDevice } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { ruleOnDevice } from './rule-on-device.js';
import { checkWhole, RulePatcher, unread, type PatcherOptions, type PatcherState, type PatcherStep } from './patcher.js';

/**
 * Patches of equal length: 1, s, s, …; the first id of a document is a patch of its own. Stride 1 makes every byte a patch.
 *
 * @source MegaByte, arXiv 2305.07185; the static patching of BLT groups real bytes like this, too (blt.md 2.4).
 */
export class StridedPatcher extends RulePatcher {
  readonly stride: number;
  readonly onDevice: OnDevice<tf.Tensor2D, DeviceDecision, PatcherState>;

  constructor(options: PatcherOptions & { stride: number }) {
    super(options);
    checkWhole('StridedPatcher', 'stride', options.stride);
    this.stride = options.stride;
    this.onDevice = ruleOnDevice(this, { closes: `position % ${this.stride} == 0`, kindOf: () => 0 });
  }

  initState(batchSize: number): PatcherState {
    return unread(batchSize);
  }

  override describe(): Record<string, unknown> {
    return { ...super.describe(), stride: this.stride };
  }

  protected closes({ position }: PatcherStep<PatcherState>): boolean {
    return position % this.stride === 0;
  }
}
