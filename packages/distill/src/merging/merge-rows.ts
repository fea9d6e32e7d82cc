import type { ByteRows } from '../alignment/byte-rows.js';
import { applyMerges, type MergeList } from './merge-list.js';

/**
 * The same bytes in fewer, longer patches: boundary labels and patch numbers after merging every row. The teacher's tokens no longer are the
 * patches, so only losses without a teacher go with the result.
 *
 * @param merges one list a row, over its tokens.
 * @param bytesPerPatch the target; during training it grows, see `compressionTarget`.
 * @source Bolmo, arXiv 2512.15586, section 5.1.
 */
export function mergeRows(rows: ByteRows, merges: readonly MergeList[], bytesPerPatch: number): ByteRows {
  const { batch, length, patches } = rows;
  const patchLengths = new Int32Array(rows.patchLengths.length);
  const patchMask = new Uint8Array(rows.patchMask.length);
  const patchIds = Int32Array.from(rows.patchIds);
  const boundaryLabels = new Uint8Array(rows.boundaryLabels.length);
  for (let b = 0; b < batch; b++) {
    const before = Array.from(rows.patchLengths.subarray(b * patches, (b + 1) * patches)).filter((n) => n > 0);
    const { patchLengths: after, mergedInto } = applyMerges(before, merges[b]!, bytesPerPatch);
    patchLengths.set(after, b * patches);
    patchMask.fill(1, b * patches, b * patches + after.length);
    for (let i = b * length; i < (b + 1) * length; i++) if (patchIds[i]! < patches) patchIds[i] = mergedInto[patchIds[i]!]!;
    for (let i = b * length; i < (b + 1) * length; i++) {
      // A label that was left out (before a document end) stays out; others stay where a merged patch ends.
      const isEnd = patchIds[i]! < patches && (i + 1 === (b + 1) * length || patchIds[i + 1] !== patchIds[i]);
      boundaryLabels[i] = isEnd ? rows.boundaryLabels[i]! : 0;
    }
  }
  return { ...rows, patchLengths, patchMask, patchIds, boundaryLabels };
}

/** Bytes per patch wanted at a step: from `start` in a straight line to `target` at step `steps`, and no further. */
export function compressionTarget(step: number, { start, target, steps }: { start: number; target: number; steps: number }): number {
  return start + (target - start) * Math.min(1, Math.max(0, step / steps));
}
