import { BYTE_VOCABULARIES, ByteTokenizer, SequenceContext, type Chunker, type HierarchicalLM } from '@bytelm/core';
import { BpePatcher, EntropyPatcher, openSubwordTokenizer, SpacePatcher, StridedPatcher } from '@bytelm/patching';
import { withEntropies } from '../../../blt/src/entropy-row.js';
import { boundaryDepths, chunkRow } from '../../../shared/src/model/chunk-rows.js';
import type { ChunkRow } from '../../../shared/src/page/chunk-row.js';
import { fetchJson, shipped } from './files.js';
import { shippedModel } from './models.js';
import { once } from './once.js';
import type { Run } from './worker.js';

const { blt } = BYTE_VOCABULARIES;
const STRIDE = 4;

/** One text, cut by every model and every rule that is here. */
export const cut: Run<'cut'> = async function* ({ text }) {
  const files = await shipped();
  for (const name of ['hnet', 'blt', 'bolmo'] as const) {
    if (!files.includes(`models/${name}/model.safetensors`)) continue;
    const { model, vocabulary, title } = await shippedModel(name);
    const began = performance.now();
    let row = await chunkRow(model, vocabulary, text);
    if (name === 'blt') row = await withEntropies(model as HierarchicalLM, row);
    yield { ...row, by: title, kind: 'model', ms: performance.now() - began };
  }
  for (const [by, patcher] of await rules()) {
    const began = performance.now();
    yield { ...(await patcherRow(patcher, text)), by, kind: 'rule', ms: performance.now() - began };
  }
};

/** Patchers with their names. A text is cut at every keystroke: the tokenizer of one of them takes longer to build than to use. */
const rules = once(async () => {
  const files = await shipped();
  const out: [string, Chunker][] = [
    ['Spaces', new SpacePatcher({ vocabulary: 'blt' })],
    [`Every ${STRIDE} bytes`, new StridedPatcher({ vocabulary: 'blt', stride: STRIDE })],
  ];
  if (files.includes('data/bpe/tokenizer.json')) {
    const tokenizer = await openSubwordTokenizer(await fetchJson<object>('data/bpe/tokenizer.json'), await fetchJson<object>('data/bpe/tokenizer_config.json'));
    out.push(['Tokens of a BPE with 2,048 entries', new BpePatcher({ vocabulary: 'blt', tokenizer })]);
  }
  if (files.includes('models/blt/model.safetensors')) {
    const { chunker } = ((await shippedModel('blt')).model as HierarchicalLM).parts;
    if (chunker instanceof EntropyPatcher) out.push(['Entropy that rises by half a nat', new EntropyPatcher({ vocabulary: 'blt', model: chunker.model, threshold: 0.5, monotonic: true })]);
  }
  return out;
});

/** Patchers are certain: their probabilities are 0 and 1. */
async function patcherRow(patcher: Chunker, text: string): Promise<ChunkRow> {
  const ids = new ByteTokenizer('blt').encode(text);
  const ctx = new SequenceContext(1, ids.length, { ids });
  const segmentation = await patcher.segment(undefined, ctx);
  const starts = boundaryDepths([segmentation], 0, ids.length);
  segmentation.dispose();
  ctx.dispose();
  return { bytes: Uint8Array.from(ids, (id) => (id === blt.bos ? 0xfe : id - blt.offset)), stages: [{ p: starts, b: starts }] };
}
