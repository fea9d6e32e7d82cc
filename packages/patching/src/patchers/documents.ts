import { DataError, type SequenceContext } from '@bytelm/core';

/**
 * (B*L) 1 where a document begins inside a row: where `ctx.documentIds` changes; without them, behind an id that ends one. Position 0 is never
 * marked: whether a document begins there is for the state to say.
 *
 * @throws DataError without `ctx.ids`.
 */
export function documentStarts(ctx: SequenceContext, ends: ReadonlySet<number>, where: string): Uint8Array {
  const { ids, documentIds, batch, length } = ctx;
  if (!ids) throw new DataError(`[${where}] \`ctx.ids\` is missing. Hint: patchers read ids; only the outermost stage of a hierarchy has them.`);
  const starts = new Uint8Array(batch * length);
  if (!documentIds && !ends.size) return starts;
  for (let b = 0; b < batch; b++) {
    for (let i = b * length + 1; i < (b + 1) * length; i++) {
      starts[i] = (documentIds ? documentIds[i] !== documentIds[i - 1] : ends.has(ids[i - 1]!)) ? 1 : 0;
    }
  }
  return starts;
}

/** Document ids that count up at `starts`, and behind every `reset` id; `undefined` when nothing begins anywhere. */
export function contextIds(ctx: SequenceContext, starts: Uint8Array, reset?: number): Int32Array | undefined {
  const { batch, length } = ctx;
  const out = new Int32Array(batch * length);
  let any = false;
  for (let b = 0; b < batch; b++) {
    for (let i = b * length + 1; i < (b + 1) * length; i++) {
      const begins = starts[i] === 1 || ctx.ids![i - 1] === reset;
      any ||= begins;
      out[i] = out[i - 1]! + (begins ? 1 : 0);
    }
  }
  return any ? out : undefined;
}
