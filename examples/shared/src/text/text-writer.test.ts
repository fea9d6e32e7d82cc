import { describe, expect, it } from 'vitest';
import { TextWriter, type TextWriterOptions } from './text-writer.js';

const bytes = (text: string) => [...new TextEncoder().encode(text)];

function collect(options: Omit<TextWriterOptions, 'write'> = {}) {
  const pieces: string[] = [];
  return { pieces, writer: new TextWriter({ ...options, write: (t) => pieces.push(t) }) };
}

describe('TextWriter', () => {
  it('never writes half a character, and writes each as soon as it is whole', () => {
    const { pieces, writer } = collect();
    for (const b of bytes('aé漢😀')) writer.push(b, undefined);
    expect(pieces).toEqual(['a', 'é', '漢', '😀']);
  });

  it('shows broken and unfinished characters as replacements, without losing what follows', () => {
    const { pieces, writer } = collect();
    for (const b of [0xe6, 0x41, 0xff, 0x42, 0xe6, 0xbc]) writer.push(b, undefined);
    writer.end();
    expect(pieces.join('')).toBe('\uFFFDA\uFFFDB\uFFFD');
  });

  it('waits with a byte until its chunk is known', () => {
    const { pieces, writer } = collect({ borders: true });
    writer.push(0x61, 1);
    expect(pieces.join('')).toBe('│a');
    writer.push(0x62, undefined);
    expect(pieces.join('')).toBe('│a');
    writer.settle(2);
    expect(pieces.join('')).toBe('│a║b');
    writer.push(0x63, undefined);
    writer.end();
    expect(pieces.join('')).toBe('│a║bc');
  });

  it('shows a character by its bytes when a chunk starts inside it', () => {
    const { pieces, writer } = collect({ borders: true });
    const depths = [1, 0, 1];
    bytes('漢').forEach((b, i) => writer.push(b, depths[i]));
    expect(pieces.join('')).toBe('│\\xE6\\xBC│\\xA2');
  });

  it('keeps control characters away from terminals', () => {
    const { pieces, writer } = collect({ escape: true });
    for (const b of bytes('a\u001b[2J\n\t\u009b')) writer.push(b, 0);
    expect(pieces.join('')).toBe('a\\x1B[2J\n\t\\x9B');
  });
});
