import type { Segmentation, SequenceContext } from '@bytelm/core';

/** Where the bytes of a piece go: into its patches, or into the one that each row leaves open. */
export interface PatchLayout {
  /** (B*L) the patch that pools each byte; −1 for bytes of none that closes in this piece. */
  ids: Int32Array;
  /** (B) 1 where the bytes that a row had left open before belong to the first patch that closes here. */
  joins: Uint8Array;
  /** (B) 1 where they stay open. */
  stays: Uint8Array;
  /** (B) first byte of the patch that is open behind the piece, and how many real bytes it has here. */
  from: Int32Array;
  counts: Int32Array;
}

/**
 * Patches of a piece. A patch that is drawn at its first byte (H-Net) holds no bytes of an earlier document. One that is drawn at its last byte
 * holds whatever the patcher put into it, as published: BLT's patchers end a patch with each document.
 */
export function layPatches(seg: Segmentation, ctx: SequenceContext): PatchLayout {
  const { batch, length, boundaryMask, drawnAt } = seg;
  const ids = new Int32Array(batch * length).fill(-1);
  const joins = new Uint8Array(batch);
  const stays = new Uint8Array(batch);
  const from = new Int32Array(batch);
  const counts = new Int32Array(batch);
  for (let b = 0; b < batch; b++) {
    const end = ctx.lengths?.[b] ?? length;
    let carried = true;
    let chunk = 0;
    for (let t = 0; t < end; t++) {
      if (drawnAt === 'start' && t > 0 && ctx.isStart(b, t)) {
        from[b] = t;
        carried = false;
      }
      if (!boundaryMask[b * length + t]) continue;
      if (chunk === 0 && carried) joins[b] = 1;
      ids.fill(chunk++, b * length + from[b]!, b * length + t + 1);
      from[b] = t + 1;
      carried = false;
    }
    stays[b] = carried ? 1 : 0;
    counts[b] = end - from[b]!;
  }
  return { ids, joins, stays, from, counts };
}
