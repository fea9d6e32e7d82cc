import { BYTE_VOCABULARIES, ByteTokenizer, DataError, SequenceContext, type Chunker } from '@bytelm/core';
import { patchLengths, type EntropyRule } from '@bytelm/patching';
import { openPatches } from '@bytelm/patching/offline';
import type { DocumentSource } from './documents.js';
import type { PatchRow } from './patch-rows.js';

/** Documents with their patches, readable in any order. */
export interface PatchSource {
  readonly count: number;
  /** Changes when data or patches are not the same any more. Stored with a position to be resumed. */
  readonly fingerprint: string;
  /** BOS … EOS of one document and the lengths of its patches, in the preprocessing convention: they sum to the number of ids. */
  document(index: number): Promise<PatchRow>;
  close(): Promise<void>;
}

const tokenizer = new ByteTokenizer('blt');

/** Documents whose patches are decided when they are read, each document as a whole. */
export function patchedOnTheWay(documents: DocumentSource, patcher: Chunker): PatchSource {
  return {
    count: documents.count,
    fingerprint: documents.fingerprint,
    async document(index) {
      const ids = tokenizer.encode(await documents.read(index), { eos: true });
      const ctx = new SequenceContext(1, ids.length, { ids });
      const seg = await patcher.segment(undefined, ctx);
      const [lengths] = patchLengths(seg, ctx, { nextToken: false });
      seg.dispose();
      ctx.dispose();
      return { ids, lengths: lengths! };
    },
    close: () => documents.close(),
  };
}

export interface PreparedOptions {
  /** Where `patch --out` put the patches. Default: beside the files. */
  out?: string | undefined;
  /** Other boundaries than the stored ones, out of the stored entropies. */
  rule?: (EntropyRule & { maxChunkLength?: number | null | undefined }) | undefined;
}

/** Documents whose patches `blt patch` made. @throws DataError when they are missing, or were made without BOS and EOS, or for other ids. */
export async function preparedPatches(files: readonly string[], options: PreparedOptions = {}): Promise<PatchSource> {
  const corpus = await openPatches([...files], options);
  const { bos, eos, offset } = BYTE_VOCABULARIES.blt;
  const made = corpus.settings;
  const own = (made.patcher.vocabulary as { offset?: number } | undefined)?.offset;
  if (made.bos !== bos || made.eos !== eos || own !== offset) {
    throw new DataError(`[train] ${files.join(', ')}: expected patches of documents from BOS ${bos} to EOS ${eos} with bytes from ${offset}, got BOS ${made.bos}, EOS ${made.eos}, bytes from ${own}. Hint: \`blt patch\` makes them.`);
  }
  return {
    count: corpus.size,
    fingerprint: `${corpus.size} documents patched by ${JSON.stringify([made.patcher, made.model, options.rule ?? null])}`,
    async document(index) {
      const { ids, boundaryMask } = await corpus.document(index);
      const lengths: number[] = [];
      for (let t = 0, start = 0; t < ids.length; t++) {
        if (!boundaryMask[t]) continue;
        lengths.push(t + 1 - start);
        start = t + 1;
      }
      return { ids, lengths };
    },
    close: async () => {},
  };
}
