import type { DeviceDecision, OnDevice } from '@bytelm/core';
import type * as tf from '@tensorflow/tfjs-core';
import { ruleOnDevice } from './rule-on-device.js';
import { byteOf, RulePatcher, unread, type PatcherState, type PatcherStep } from './patcher.js';

export interface SpacePatcherState extends PatcherState {
  /** (B) 1 where the last id was space-like. */
  spaceLike: Uint8Array;
}

/**
 * Patches end with the first of a run of space-like bytes: everything but letters, digits and UTF-8 continuation bytes, so punctuation,
 * controls and UTF-8 lead bytes, too. Special ids always end one.
 *
 * In scripts without ASCII letters a lead byte closes the patch of the character before it: patches straddle characters.
 *
 * @source SpaceByte, arXiv 2404.14408; BLT, arXiv 2412.09871, section 2.2, as its published code has it.
 * @example
 * const seg = new SpacePatcher().segment(undefined, ctx); // "two  spaces," gives `two ` and ` spaces,`
 */
export class SpacePatcher extends RulePatcher<SpacePatcherState> {
  readonly onDevice: OnDevice<tf.Tensor2D, DeviceDecision, SpacePatcherState> = ruleOnDevice<SpacePatcherState>(this, {
    closes: '(kind & 4) != 0 || ((kind & 2) != 0 && (before & 2) == 0)',
    kindOf: (id) => {
      const byte = byteOf(id, this.vocabulary);
      return (isSpaceLike(byte) ? 2 : 0) | (byte < 0 ? 4 : 0);
    },
    lastOf: ({ spaceLike }, row) => (spaceLike[row] ? 2 : 0),
  });

  initState(batchSize: number): SpacePatcherState {
    return { ...unread(batchSize), spaceLike: new Uint8Array(batchSize) };
  }

  protected closes({ id, row, state }: PatcherStep<SpacePatcherState>): boolean {
    const byte = byteOf(id, this.vocabulary);
    const before = state.spaceLike[row];
    state.spaceLike[row] = isSpaceLike(byte) ? 1 : 0;
    return byte < 0 || (state.spaceLike[row] === 1 && before === 0);
  }

  protected override first({ id, row, state }: PatcherStep<SpacePatcherState>): void {
    state.spaceLike[row] = isSpaceLike(byteOf(id, this.vocabulary)) ? 1 : 0;
  }
}

/** Special ids (−1) are space-like. */
function isSpaceLike(byte: number): boolean {
  const isDigit = byte >= 0x30 && byte <= 0x39;
  const isLetter = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
  const isContinuation = byte >= 0x80 && byte <= 0xbf;
  return !(isDigit || isLetter || isContinuation);
}
