import { SequenceContext } from '@bytelm/core';
import { useBackend } from '@bytelm/core/testing';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { startsFromEntropy } from '../entropy/entropy-rule.js';
import { BpePatcher } from './bpe-patcher.js';
import { BpeStream } from './bpe-stream.js';
import { DelimiterPatcher } from './delimiter-patcher.js';
import { EntropyPatcher } from './entropy-patcher.js';
import type { RulePatcher } from './patcher.js';
import { SpacePatcher } from './space-patcher.js';
import { StridedPatcher } from './strided-patcher.js';
import { openSubwordTokenizer } from './subword-tokenizer.js';
import { toyTokenizer } from './toy-tokenizer.test-util.js';
import { translateIds } from './translate-ids.js';
import { utf8Runs } from './utf8-runs.js';
import { patchStarts } from '../segmentation/convert.js';

const idsArbitrary = fc.array(fc.oneof(fc.integer({ min: 0, max: 259 }), fc.constantFrom(36, 14, 2, 3, 101)), { minLength: 1, maxLength: 40 }).map((a) => Int32Array.from(a));
const options = { documentEnds: [2], maxChunkLength: 7 };
const patchers: [string, RulePatcher<any>][] = [
  ['space', new SpacePatcher()],
  ['space, limited, documents', new SpacePatcher(options)],
  ['strided', new StridedPatcher({ stride: 4 })],
  ['strided, documents', new StridedPatcher({ stride: 3, ...options })],
  ['delimiter', new DelimiterPatcher({ ...options, maxChunkLength: 5 })],
];
const bounds = async (p: RulePatcher<any>, ids: Int32Array) => [...(await p.segment(undefined, new SequenceContext(1, ids.length, { ids }))).boundaryMask];

describe.each(patchers)('%s patcher', (_, patcher) => {
  beforeAll(() => useBackend('cpu'));

  it('is causal: ids behind never change a decision', () =>
    fc.assert(
      fc.asyncProperty(idsArbitrary, fc.nat(), async (ids, cut) => {
        const n = 1 + (cut % ids.length);
        expect(await bounds(patcher, ids.slice(0, n))).toEqual((await bounds(patcher, ids)).slice(0, n));
      }),
      { numRuns: 40 },
    ));

  it('decides id by id and piece by piece as for the whole', () =>
    fc.assert(
      fc.asyncProperty(idsArbitrary, fc.integer({ min: 1, max: 9 }), async (ids, piece) => {
        const whole = await bounds(patcher, ids);
        let state = patcher.initState(2);
        const stepped: number[] = [];
        const inPieces: number[] = [];
        for (const id of ids) {
          const out = await patcher.step({ ids: Int32Array.of(id) }, state, [1]);
          state = out.state;
          stepped.push(out.decision.boundary[0]!);
        }
        // Row 0 of the same state has seen nothing yet.
        for (let at = 0; at < ids.length; at += piece) {
          const n = Math.min(piece, ids.length - at);
          const both = new Int32Array(2 * n);
          both.set(ids.subarray(at, at + n));
          const out = await patcher.prefill(undefined, state, new SequenceContext(2, n, { ids: both, lengths: [n, 0] }));
          state = out.state;
          inPieces.push(...out.segmentation.boundaryMask.subarray(0, n));
        }
        expect(stepped).toEqual(whole);
        expect(inPieces).toEqual(whole);
      }),
      { numRuns: 40 },
    ));
});

describe('documents', () => {
  it('first and last ids of packed documents are boundaries, in between each is as if alone', async () => {
    const p = new StridedPatcher({ stride: 3 });
    const documentIds = Int32Array.from([0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2]);
    const ctx = new SequenceContext(1, 11, { ids: new Int32Array(11).fill(70), documentIds });
    expect([...(await p.segment(undefined, ctx)).boundaryMask]).toEqual([1, 0, 0, 1, 0, 1, 1, 1, 0, 0, 1]);
  });

  it('an id that ends a document closes its patch, the next one is a patch of its own', async () => {
    expect(await bounds(new StridedPatcher({ stride: 5, documentEnds: [2] }), Int32Array.of(1, 70, 71, 2, 72, 73, 74, 75, 76, 77))).toEqual([1, 0, 0, 1, 1, 0, 0, 0, 0, 1]);
  });

  it('startDocument makes the next id a boundary, in these rows only', async () => {
    const p = new StridedPatcher({ stride: 4 });
    let { state } = await p.step({ ids: Int32Array.of(70, 70) }, p.initState(2));
    state = p.startDocument(state, [1]);
    const { decision } = await p.step({ ids: Int32Array.of(70, 70) }, state);
    expect([...decision.boundary]).toEqual([0, 1]);
  });
});

describe('plain bytes', () => {
  it('patches ids of H-Net as those of BLT', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 30, max: 253 }), async (bytes) => {
        const [blt, hnet] = [Int32Array.from([1, ...bytes.map((b) => b)].map((b, i) => (i ? b + 4 : b))), Int32Array.from([254, ...bytes])];
        expect(await bounds(new SpacePatcher({ vocabulary: 'hnet' }), hnet)).toEqual(await bounds(new SpacePatcher(), blt));
        expect([...translateIds(hnet, new SpacePatcher({ vocabulary: 'hnet' }).vocabulary, new SpacePatcher().vocabulary)]).toEqual([...blt]);
      }),
      { numRuns: 30 },
    ));
});

describe('entropy rule', () => {
  const values = fc.array(fc.float({ min: 0, max: 5, noNaN: true }), { minLength: 1, maxLength: 30 });
  const rule = fc.record({ threshold: fc.float({ min: 0, max: 4, noNaN: true }), monotonic: fc.boolean(), addThreshold: fc.option(fc.float({ min: -1, max: 1, noNaN: true })), maxChunkLength: fc.option(fc.integer({ min: 1, max: 6 })) });

  it('is causal', () =>
    fc.assert(
      fc.property(values, rule, fc.nat(), (e, r, cut) => {
        const n = 1 + (cut % e.length);
        expect(startsFromEntropy(e.slice(0, n), r)).toEqual(startsFromEntropy(e, r).filter((s) => s <= n));
      }),
    ));

  it('compares as float32, strictly', () => {
    expect(startsFromEntropy([9, 0.6, 0.6, 0.7], { threshold: 0.6 })).toEqual([0, 1, 4]);
    expect(startsFromEntropy([9, 0.6], { threshold: 0.6, nextToken: false })).toEqual([0, 1]);
  });

  it('refuses thresholds no entropy reaches', () => {
    const model = { vocabSize: 260 } as never;
    expect(() => new EntropyPatcher({ model, threshold: 6 })).toThrow('[EntropyPatcher] threshold: expected 0 ≤ threshold < ln 260 = 5.561 nats, got 6. Hint: calibrateThreshold finds one for a wished bytes per chunk.');
    expect(() => new EntropyPatcher({ model, threshold: -0.1, addThreshold: NaN })).toThrow(/got -0.1; addThreshold: .* got NaN/);
    expect(() => new EntropyPatcher({ model, threshold: -0.1, monotonic: true })).not.toThrow();
    expect(() => new EntropyPatcher({ model, threshold: 1, resetOnNewline: true })).toThrow('expected one with `startDocument`');
    expect(() => new EntropyPatcher({ model: { vocabSize: 256 } as never, threshold: 1 })).toThrow('expected a vocabulary of at least 260 ids, got 256');
  });

  it('refuses other bad options', () => {
    expect(() => new SpacePatcher({ maxChunkLength: 0 })).toThrow('[SpacePatcher] maxChunkLength: expected a whole number from 1, got 0.');
    expect(() => new SpacePatcher({ documentEnds: [260] })).toThrow('[SpacePatcher] documentEnds: expected ids of 0..259, got 260.');
    expect(() => new StridedPatcher({ stride: 1.5 })).toThrow('[StridedPatcher] stride: expected a whole number from 1, got 1.5.');
    expect(() => new DelimiterPatcher({ delimiter: 300 })).toThrow('[DelimiterPatcher] delimiter: expected an id of 0..259, got 300.');
    expect(() => new SpacePatcher({ vocabulary: 'gpt' as never })).toThrow("[SpacePatcher] unknown vocabulary 'gpt'. Hint: one of hnet, blt.");
  });
});

describe('BPE', async () => {
  const tokenizer = await openSubwordTokenizer(toyTokenizer());
  const patcher = new BpePatcher({ tokenizer });
  const encode = (text: string) => Int32Array.from([1, ...new TextEncoder().encode(text)].map((b, i) => (i ? b + 4 : b)));

  it('ends patches where pieces end', () => {
    const ids = encode('the cat, the é');
    const ends = patcher.boundaries(ids);
    const text = [...ids].map((id, t) => (t === 0 ? '|' : String.fromCodePoint(id - 4)) + (ends[t] && t ? '|' : '')).join('');
    expect(text).toBe('|the| cat|,| the| |Ã|©|');
  });

  it('patches rows and packed documents each on its own', async () => {
    const [a, b] = [encode('the cat'), encode('thethe')];
    const ids = Int32Array.from([...a, ...b]);
    const documentIds = ids.map((_, i) => (i < a.length ? 0 : 1));
    const packed = patcher.segment(undefined, new SequenceContext(1, ids.length, { ids, documentIds }));
    expect([...packed.boundaryMask]).toEqual([...patcher.boundaries(a), ...patcher.boundaries(b)]);
    expect(patchStarts(packed)[0]!.slice(0, 3)).toEqual([0, 1, 4]);
  });

  it('gives the same for a text that arrives in parts, whatever its bytes', () =>
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...new TextEncoder().encode(' the cat\n,')), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        fc.option(fc.integer({ min: 1, max: 4 })),
        (bytes, part, maxChunkLength) => {
          const limited = new BpePatcher({ tokenizer, maxChunkLength });
          const ids = Int32Array.from([1, ...bytes.map((b) => b + 4)]);
          const stream = new BpeStream(limited);
          const found: number[] = [];
          for (let at = 0; at < ids.length; at += part) found.push(...stream.push(ids.subarray(at, at + part)));
          found.push(...stream.end());
          expect(found).toEqual([...limited.boundaries(ids)]);
        },
      ),
      { numRuns: 60 },
    ));

  it('says with delimiters where pieces begin', async () => {
    const stream = patcher.withDelimiters(encode('the cat'));
    expect([...stream].map((id) => (id > 3 ? String.fromCodePoint(id - 4) : `<${id}>`)).join('')).toBe('<1><3>the<3> cat');
    expect(await bounds(new DelimiterPatcher(), stream)).toEqual([1, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
  });

  it('cannot decide byte by byte, and says what can', () => {
    expect(() => patcher.step()).toThrow('[BpePatcher.step] expected a patcher that decides byte by byte');
    expect(patcher.lookahead).toBe(Infinity);
  });

  it('refuses files that are no tokenizers and pieces that are not the text', async () => {
    await expect(openSubwordTokenizer({ vocab: {} })).rejects.toThrow('expected a tokenizer.json with `model.vocab`, got keys vocab');
    await expect(openSubwordTokenizer('/nowhere/tokenizer.json')).rejects.toThrow('/nowhere/tokenizer.json: ENOENT');
    const lower = await openSubwordTokenizer({ ...toyTokenizer(), normalizer: { type: 'Lowercase' } });
    expect(() => lower.pieceLengths('the Cat')).toThrow("[BpePatcher] the tokenizer's pieces differ from the text at byte 4: expected 0x43, got 0x63.");
  });
});

it('cuts bytes into whole characters and what is none', () =>
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.string({ unit: 'binary' }).map((s) => new TextEncoder().encode(s))), (bytes) => {
      const runs = utf8Runs(bytes);
      expect(runs.map((r) => r.start)).toEqual([0, ...runs.map((r) => r.end)].slice(0, runs.length));
      expect(runs.at(-1)?.end ?? 0).toBe(bytes.length);
      for (const { start, end, text } of runs) {
        if (text === undefined) expect(end - start).toBe(1);
        else expect([...new TextEncoder().encode(text)]).toEqual([...bytes.subarray(start, end)]);
      }
      // Whole text is one run; what is broken is found by the decoder, too.
      let valid = true;
      try {
        new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      } catch {
        valid = false;
      }
      expect(runs.every((r) => r.text !== undefined)).toBe(valid);
    }),
  ));
