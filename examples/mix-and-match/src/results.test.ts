import { describe, expect, it } from 'vitest';
import { line, markdown, mergeRows, type ResultRow } from './results.js';

const row = (name: string, bitsPerByte: number, seed = 0): ResultRow => ({
  name,
  bitsPerByte,
  bytesPerChunk: [4.25, 6.5],
  cutByEntropies: false,
  replaced: name === 'hnet' ? [] : ['chunker'],
  parameters: 12345,
  seconds: 61.4,
  trainBits: [8, bitsPerByte],
  sample: 'The | sea\n',
  setup: { data: 'books.txt', steps: 300, batch: 8, length: 256, lr: 0.003, seed, evalBytes: 32768, backend: 'wasm', machine: 'a machine', date: '2026-01-02' },
});

describe('results', () => {
  it('a newer row takes the place of an older one, in the order of the list', () => {
    const merged = mergeRows([row('blt', 3), row('hnet-space', 2.9)], [row('hnet', 2.5), row('blt', 2.8)]);
    expect(merged.map((r) => [r.name, r.bitsPerByte])).toEqual([['hnet', 2.5], ['hnet-space', 2.9], ['blt', 2.8]]);
  });

  it('one table for each set of circumstances, and what the models wrote', () => {
    expect(markdown([row('hnet', 2.5), row('hnet-space', 2.9), row('blt', 2.8, 1)])).toMatchInlineSnapshot(`
      "# Swaps

      300 updates of 8 x 256 bytes of books.txt, learning rate 0.003, seed 0; bits per byte and bytes per chunk of 32,768 held-out bytes in windows of 256. wasm; a machine; 2026-01-02.

      | name | what | new objects | parameters | bits per byte | bytes per chunk |
      |---|---|---|---|---|---|
      | \`hnet\` | H-Net as it is | – | 12,345 | 2.500 | 4.25, 6.50 |
      | \`hnet-space\` | cut at spaces | chunker | 12,345 | 2.900 | 4.25, 6.50 |

      300 updates of 8 x 256 bytes of books.txt, learning rate 0.003, seed 1; bits per byte and bytes per chunk of 32,768 held-out bytes in windows of 256. wasm; a machine; 2026-01-02.

      | name | what | new objects | parameters | bits per byte | bytes per chunk |
      |---|---|---|---|---|---|
      | \`blt\` | BLT as it is | chunker | 12,345 | 2.800 | 4.25, 6.50 |

      What they write, byte by byte (temperature 0.5):

      - \`hnet\`: "The | sea\\n"
      - \`hnet-space\`: "The | sea\\n"
      - \`blt\`: "The | sea\\n"
      "
    `);
  });

  it('a line', () => expect(line(row('hnet-space', 2.9))).toMatchInlineSnapshot(`"hnet-space                 2.900 bits per byte · 4.25, 6.50 bytes per chunk · 12,345 parameters · new: chunker"`));
});
