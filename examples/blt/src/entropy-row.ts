import { BYTE_VOCABULARIES, SequenceContext, type HierarchicalLM } from '@bytelm/core';
import { EntropyPatcher } from '@bytelm/patching';
import type { ChunkRow } from '@bytelm/example-shared/page';

/** A row with how uncertain the entropy model was about each byte before it came. */
export async function withEntropies({ parts: { chunker } }: HierarchicalLM, row: ChunkRow): Promise<ChunkRow> {
  if (!(chunker instanceof EntropyPatcher)) return row;
  const { bos, eos, offset } = BYTE_VOCABULARIES.blt;
  const ids = Int32Array.from(row.bytes, (b) => (b === 0xfe ? bos : b === 0xff ? eos : b + offset));
  const ctx = new SequenceContext(1, ids.length, { ids });
  const entropies = await chunker.entropies(ctx);
  ctx.dispose();
  // The entropy at i is about byte i + 1: drawn below the byte it is about. Nothing is known about the first one.
  const values = Array.from(ids, (_, i) => (i ? entropies[i - 1]! : NaN));
  const { threshold, monotonic } = chunker.rule;
  return { ...row, curve: { name: 'entropy', unit: 'nats', values, ...(!monotonic && { threshold }) } };
}
