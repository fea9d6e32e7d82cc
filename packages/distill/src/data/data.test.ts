import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesInMemory, openByteFiles } from '@bytelm/core/train';
import { SubwordTokenizer, TokenRows, tokenizeText, tokensInMemory, TokenWindows } from '../index.js';
import { bolmoFixtures, toyVocabulary as vocabulary } from '../stages/tiny-models.test-util.js';

const text = 'the quick brown fox jumps over the lazy dog; naïve café résumé, 日本!\n\n  among the flowers in the flowerbed. '.repeat(30);
const utf8 = new TextEncoder().encode(text);

describe('tokenizeText', () => {
  let tokenizer: SubwordTokenizer;
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-'));
  beforeAll(async () => void (tokenizer = await SubwordTokenizer.fromFolder(join(bolmoFixtures, 'toy_tokenizer'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('gives the tokens of the whole text, in whatever pieces it is read', async () => {
    const whole = [...tokenizer.encode(text)];
    for (const pieceBytes of [64, 100, 1000, 65536]) {
      for (const source of [text, utf8, bytesInMemory(utf8)]) {
        const store = await tokenizeText(source, tokenizer, { pieceBytes, endDocuments: false });
        expect([...store.ids]).toEqual(whole);
        expect([store.bytes, store.size]).toEqual([utf8.length, whole.length]);
      }
    }
  });

  it('ends documents, counts their bytes only, reads files and ranges that cut characters', async () => {
    writeFileSync(join(folder, 'a.txt'), 'the fox 日本');
    const file = await openByteFiles(join(folder, 'a.txt'));
    const store = await tokenizeText([file, 'the dog'], tokenizer);
    expect(tokenizer.decode(store.ids)).toBe('the fox 日本<|endoftext|>the dog<|endoftext|>');
    expect(store.bytes).toBe(14 + 7);
    const part = await openByteFiles(join(folder, 'a.txt'), { range: [9, 14] });
    expect(tokenizer.decode((await tokenizeText(part, tokenizer, { endDocuments: false })).ids)).toBe('本');
    const start = await openByteFiles(join(folder, 'a.txt'), { range: [0, 13] });
    expect(tokenizer.decode((await tokenizeText(start, tokenizer, { endDocuments: false })).ids)).toBe('the fox 日');
    expect((await tokenizeText('x', tokenizer)).fingerprint).not.toBe((await tokenizeText('y', tokenizer)).fingerprint);
    for (const f of [file, part, start]) await f.close();
  });

  it('refuses what is no text, or does not round-trip', async () => {
    await expect(tokenizeText(Uint8Array.of(97, 0xff, 98), tokenizer)).rejects.toThrow('[tokenizeText] bytes 0 to 3 of the text are not UTF-8.');
    await expect(tokenizeText('a\ud800b', tokenizer)).rejects.toThrow('half of a surrogate pair');
    await expect(tokenizeText('', tokenizer)).rejects.toThrow('[tokenizeText] expected text, got none.');
    const lower = new SubwordTokenizer({ encode: (t) => tokenizer.encoder.encode(t.toLowerCase(), { add_special_tokens: false }) }, vocabulary);
    await expect(tokenizeText('say Hello', lower)).rejects.toThrow('the tokens do not say what the text says, from byte 4 on');
  });
});

describe('TokenRows and TokenWindows', () => {
  const store = tokensInMemory(Array.from({ length: 103 }, (_, i) => i), vocabulary);

  it('give every window once an epoch, the same for the same seed, another order for another', async () => {
    const tokensOf = async (seed: number, order: 'shuffled' | 'sequential' = 'shuffled') => {
      const batches = new TokenRows(store, { vocabulary, patches: 6, batch: 4, seed, order });
      const rows: number[][] = [];
      for (let i = 0; i < batches.batchesPerEpoch; i++) {
        const { rows: r } = await batches.next();
        for (let b = 0; b < 4; b++) rows.push([...r.teacherIds.subarray(b * 6 + 1, (b + 1) * 6)]);
      }
      return rows;
    };
    const first = await tokensOf(1);
    expect(await tokensOf(1)).toEqual(first);
    expect(await tokensOf(2)).not.toEqual(first);
    expect(new Set(first.flat()).size).toBeGreaterThanOrEqual(95);
    expect((await tokensOf(1, 'sequential')).slice(0, 2)).toEqual([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]);
  });

  it('continue where they stopped, and only with the same tokens', async () => {
    const options = { vocabulary, patches: 6, batch: 4, seed: 3 };
    const batches = new TokenRows(store, options);
    await batches.next();
    const state = JSON.parse(JSON.stringify(batches.state()));
    const next = await batches.next();
    const again = new TokenRows(store, options);
    again.restore(state);
    expect([...(await again.next()).ids]).toEqual([...next.ids]);
    expect(() => new TokenRows(tokensInMemory([...store.ids].reverse()), options).restore(state)).toThrow('[TokenRows] the tokens are not those this position belongs to');
    expect(() => new TokenRows(store, { ...options, seed: 4 }).restore(state)).toThrow('seed 3; got');
    expect(() => again.restore('x')).toThrow('the stored position is not one of tokens');
  });

  it('are as long as rows need, as the capacity says, or rounded up', async () => {
    const of = (options: object) => new TokenRows(store, { vocabulary, patches: 6, batch: 2, order: 'sequential', ...options }).next();
    expect((await of({})).length).toBe(6);
    expect((await of({ maxBytes: 36 })).length).toBe(36);
    expect((await of({ padBytesTo: 16 })).length).toBe(16);
    const { lengths, rows, ids } = await of({ maxBytes: 4 });
    expect([...lengths!]).toEqual([4, 4]);
    expect(ids).toBe(rows.ids);
    const windows = new TokenWindows(store, { length: 4, batch: 2, order: 'sequential' });
    expect([...(await windows.next()).ids]).toEqual([0, 1, 2, 3, 4, 4, 5, 6, 7, 8]);
  });
});
