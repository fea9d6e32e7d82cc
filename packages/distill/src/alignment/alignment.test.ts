import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixtureRoot, readGolden } from '@bytelm/core/testing';
import { alignTokensToBytes, byteRows, cutAlike, END_SYMBOL, fusedLabels, SubwordTokenizer, SubwordVocabulary, type TokenizerJson } from '../index.js';

const folder = join(fixtureRoot(), 'bolmo');
const json = JSON.parse(readFileSync(join(folder, 'toy_tokenizer/tokenizer.json'), 'utf8')) as TokenizerJson;
const golden = JSON.parse(readFileSync(join(folder, 'suffix_embedding.json'), 'utf8')) as { cases: { text: string | null; subword_ids: number[]; patch_lens: number[]; byte_ids_with_bos: number[] }[]; byte_sequences_sample: Record<string, number[]> };
const toy = () => SubwordTokenizer.fromFolder(join(folder, 'toy_tokenizer'));
/** The toy tokenizer with changes to its parts. */
const changed = (change: (json: any) => void): TokenizerJson => {
  const copy = structuredClone(json) as any;
  change(copy);
  return copy as TokenizerJson;
};

describe('byte alignment', () => {
  it('cuts text and spells tokens as the reference does', async () => {
    const tokenizer = await toy();
    for (const c of golden.cases.filter((c) => c.text !== null)) {
      const { tokenIds, symbols, starts, ends } = tokenizer.align(c.text!);
      expect([...tokenIds]).toEqual(c.subword_ids);
      expect([1, ...ends.map((e, i) => e - starts[i]!)]).toEqual(c.patch_lens);
      expect([1, ...symbols].map((s, i) => (i === 0 ? 1 : s === END_SYMBOL ? 1 : s + 4))).toEqual(c.byte_ids_with_bos);
      expect(tokenizer.decode(tokenIds)).toBe(c.text);
    }
  });

  it('knows the bytes of every kind of token', () => {
    const vocabulary = new SubwordVocabulary(json);
    const ids = (id: string) => [...vocabulary.symbolsOf(Number(id))].map((s) => (s === END_SYMBOL ? 1 : s === 257 ? 0 : s + 4));
    for (const [id, bytes] of Object.entries(golden.byte_sequences_sample)) expect(ids(id)).toEqual(bytes);
    expect([vocabulary.size, vocabulary.endId, vocabulary.padId]).toEqual([340, 337, 338]);
  });

  it('properties: spans join without gaps, boundaries are their ends, any text round-trips', async () => {
    const tokenizer = await toy();
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
        // Lone surrogates are no text: UTF-8 cannot hold them.
        const clean = new TextDecoder().decode(new TextEncoder().encode(text));
        const a = tokenizer.align(clean);
        expect([...a.starts]).toEqual([0, ...a.ends].slice(0, a.starts.length));
        expect(a.symbols.length).toBe(a.ends.at(-1) ?? 0);
        expect([...a.boundaryMask.keys()].filter((i) => a.boundaryMask[i])).toEqual([...a.ends].map((e) => e - 1));
        expect(tokenizer.decode(a.tokenIds)).toBe(clean);
      }),
      { numRuns: 60 },
    );
  });

  it('reads SentencePiece-like vocabularies with byte fallback', () => {
    const vocab = Object.fromEntries(Array.from({ length: 256 }, (_, b) => [`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, b]));
    const v = new SubwordVocabulary({ model: { type: 'BPE', byte_fallback: true, vocab: { ...vocab, '▁the': 256, é: 257 } } }, { name: 'sp.json' });
    expect([...v.symbolsOf(256)]).toEqual([32, 116, 104, 101]);
    expect([...v.symbolsOf(257)]).toEqual([0xc3, 0xa9]);
    expect([...v.symbolsOf(10)]).toEqual([10]);
  });
});

describe('refusals', () => {
  it('a tokenizer that is not byte-complete', () => {
    const gap = changed((j) => {
      delete j.model.vocab['Ġ'];
      delete j.model.vocab['!'];
    });
    expect(() => new SubwordVocabulary(gap, { name: 'gap.json' })).toThrow('[SubwordVocabulary] gap.json: expected an entry for each of the 256 bytes, got none for 2 of them (0x20, 0x21).');
    expect(new SubwordVocabulary(gap, { byteComplete: false }).size).toBe(340);
  });

  it('a tokenizer of words', () => {
    const words = { model: { type: 'WordPiece', vocab: { '[UNK]': 0, the: 1 } }, decoder: { type: 'WordPiece' } };
    expect(() => new SubwordVocabulary(words, { name: 'bert.json' })).toThrow('bert.json: expected a tokenizer whose tokens are bytes (a ByteLevel decoder, or byte_fallback), got model WordPiece without either.');
    expect(() => new SubwordVocabulary({} as TokenizerJson)).toThrow('tokenizer.json: expected a tokenizer.json with model.vocab, got an object with no keys.');
    expect(() => new SubwordVocabulary(changed((j) => (j.model.vocab['日'] = 340)))).toThrow('entry "日" is not written in the byte alphabet');
  });

  it('text that does not round-trip, ids that are not there, a model with fewer rows', async () => {
    const lower = await SubwordTokenizer.fromJson(changed((j) => (j.normalizer = { type: 'Lowercase' })), {}, { name: 'lower.json' });
    expect(() => lower.align('say Hello')).toThrow('[checkRoundTrip] lower.json: the tokens do not say what the text says, from byte 4 on: text "say Hello" (9 bytes), tokens "say hello" (9 bytes).');
    const vocabulary = new SubwordVocabulary(json);
    expect(() => alignTokensToBytes([5, 1234], vocabulary)).toThrow('[SubwordVocabulary] tokenizer.json has no token 1234 (it has ids below 340).');
    expect(() => vocabulary.checkFits(337, 'teacher/')).toThrow('teacher/ gives logits for 337 tokens, tokenizer.json has 340.');
    expect(() => vocabulary.checkFits(352, 'teacher/')).not.toThrow();
    await expect(SubwordTokenizer.fromFolder(join(folder, 'nowhere'))).rejects.toThrow('cannot be read');
  });
});

describe.each(['bolmo_tiny_olmo2', 'bolmo_tiny_olmo3'])('rows of %s', (name) => {
  const t = readGolden(join(folder, name, 'train_batch_stage1.safetensors'));
  const at = (key: string) => [...t.get(key)!.values];
  const [B, P] = t.get('original_input_ids')!.shape as [number, number];
  const n = t.get('input_ids')!.shape[1]!;
  const rows = () => byteRows(Array.from({ length: B }, (_, b) => at('original_input_ids').slice(b * P, (b + 1) * P)), { vocabulary: new SubwordVocabulary(json), maxBytes: n });

  it('equal those of the reference', () => {
    const r = rows();
    expect([r.batch, r.length, r.patches]).toEqual([B, n, P]);
    expect([...r.ids]).toEqual(at('input_ids'));
    expect([...r.labels]).toEqual(at('labels'));
    expect([...r.patchLengths]).toEqual(at('patch_lens'));
    expect([...r.patchIds]).toEqual(at('stage1.patch_ids'));
    expect([...r.boundaryLabels]).toEqual(at('stage1.boundary_labels'));
  });

  it('fuse labels where the next byte ends a patch, but never the last of a row', () => {
    const r = rows();
    const fused = fusedLabels(r);
    fused.forEach((y, i) => {
      const isLast = r.labels[i]! >= 0 && !(r.labels[i + 1]! >= 0);
      expect(y).toBe(r.labels[i]! + (r.labels[i]! >= 0 && !isLast && r.boundaryLabels[i + 1] ? 260 : 0));
    });
    expect(fused.some((y) => y >= 260)).toBe(true);
  });
});

describe('byteRows', () => {
  const vocabulary = new SubwordVocabulary(json);

  it('leaves out patches that do not fit, drops a leading document end, pads', () => {
    // Tokens of 2, 1 and 7 bytes: the third does not fit behind the begin symbol.
    const r = byteRows([[337, 256, 68, 268, 0], [77]], { vocabulary, maxBytes: 6 });
    expect(r.patches).toBe(4);
    expect([...r.lengths]).toEqual([4, 2]);
    expect([...r.patchLengths]).toEqual([1, 2, 1, 0, 1, 1, 0, 0]);
    expect([...r.ids.slice(6)]).toEqual([1, 114, 0, 0, 0, 0]);
    expect([...r.teacherIds]).toEqual([337, 256, 68, 338, 337, 77, 338, 338]);
    expect([...r.patchIds.slice(0, 6)]).toEqual([0, 1, 1, 2, 4, 4]);
  });

  it('knows where two ways of cutting agree: the patch begins for both, and both say whether it ends', () => {
    const labels = { batch: 1, length: 8, lengths: Int32Array.of(8), boundaryLabels: Uint8Array.of(1, 0, 1, 0, 0, 1, 0, 1) };
    expect([...cutAlike(labels, labels.boundaryLabels)]).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
    // Cut behind byte 3, too: known neither at the byte that is cut behind, nor in the patch that begins there, until both cut.
    expect([...cutAlike(labels, [1, 0, 1, 1, 0, 1, 0, 1])]).toEqual([1, 1, 0, 0, 0, 1, 1, 0]);
    // Not cut behind byte 2: the patch goes on where the labels begin another.
    expect([...cutAlike(labels, [1, 0, 0, 0, 0, 1, 0, 1])]).toEqual([1, 0, 0, 0, 0, 1, 1, 0]);
    expect([...cutAlike({ ...labels, lengths: Int32Array.of(4) }, labels.boundaryLabels)]).toEqual([1, 1, 1, 0, 0, 0, 0, 0]);
  });

  it('keeps the boundary before a document end when asked to', () => {
    const tokens = [[77, 337, 77, 0]];
    expect([...byteRows(tokens, { vocabulary }).boundaryLabels]).toEqual([1, 0, 1, 1]);
    expect([...byteRows(tokens, { vocabulary, skipBoundaryBeforeEnd: false }).boundaryLabels]).toEqual([1, 1, 1, 1]);
  });

  it('refuses nothing to work on, and a tokenizer without document end', () => {
    expect(() => byteRows([], { vocabulary })).toThrow('[byteRows] no rows.');
    expect(() => byteRows([[337]], { vocabulary })).toThrow('[byteRows] rows without tokens.');
    expect(() => byteRows([[77, 77]], { vocabulary: new SubwordVocabulary(json, { end: null }) })).toThrow('has no document-end token');
  });
});
