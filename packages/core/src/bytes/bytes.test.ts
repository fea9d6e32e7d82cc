import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteTokenizer } from './byte-tokenizer.js';
import { Utf8StreamDecoder } from './utf8-stream-decoder.js';

describe('ByteTokenizer', () => {
  it.each(['hnet', 'blt'] as const)('%s: any text comes back', (name) =>
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const t = new ByteTokenizer(name);
        expect(t.decode(t.encode(text, { eos: true }))).toBe(text);
      }),
    ));

  it('knows the special ids', () => {
    expect([...new ByteTokenizer('hnet').encode('A', { eos: true })]).toEqual([254, 65, 255]);
    expect([...new ByteTokenizer('blt').encode('A', { eos: true })]).toEqual([1, 69, 2]);
  });

  it('leaves out bytes that are not UTF-8 when asked to, but no U+FFFD of the text', () => {
    const t = new ByteTokenizer('hnet');
    const bytes = [0xe2, 0x49, 0xef, 0xbf, 0xbd, 0xf0, 0x9f, 0xef, 0xbf, 0xbd, 0x80, 0x4a, 0xe2];
    expect(t.decode(bytes, { errors: 'ignore' })).toBe('I\ufffd\ufffdJ');
    expect(t.decode(bytes)).toBe('\ufffdI\ufffd\ufffd\ufffd\ufffdJ\ufffd');
    expect(t.decode(t.encode('\ufeffmark'))).toBe('\ufeffmark');
  });

  it('names the vocabularies there are', () => {
    expect(() => new ByteTokenizer('gpt2' as never)).toThrow("[ByteTokenizer] unknown vocabulary 'gpt2'. Hint: one of hnet, blt.");
  });
});

describe('Utf8StreamDecoder', () => {
  it('never gives half a character, whatever the pieces', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (raw) => {
        const bytes = new TextEncoder().encode(raw);
        const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
        const d = new Utf8StreamDecoder();
        const parts = [...bytes].map((b) => d.push(b));
        expect(parts.every((p) => !p.includes('\ufffd') || text.includes('\ufffd'))).toBe(true);
        expect(parts.join('') + d.flush()).toBe(text);
      }),
    ));

  it('marks what is broken or cut off', () => {
    const d = new Utf8StreamDecoder();
    expect(d.push(Uint8Array.of(0xff, 0x41, 0xe6, 0xbc))).toBe('\ufffdA');
    expect(d.flush()).toBe('\ufffd');
  });
});
