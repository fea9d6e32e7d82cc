import '../backend/init.js';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Segmentation, SequenceContext } from './index.js';
import { useBackend } from '../testing/backends.js';

const seg = (rows: string[], options = {}) =>
  new Segmentation(rows.length, rows[0]!.length, Uint8Array.from(rows.join(''), Number), options);
const rowsArbitrary = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 12 }))
  .chain(([b, l]) => fc.array(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: l - 1, maxLength: l - 1 }).map((r) => `1${r.join('')}`), { minLength: b, maxLength: b }));

describe('Segmentation', () => {
  beforeAll(() => useBackend('cpu'));

  it('numbers chunks as the contract says', async () => {
    const s = seg(['100110', '111111']);
    expect([...s.numChunks]).toEqual([3, 6]);
    expect(s.maxChunks).toBe(6);
    expect([...(await s.boundaryIndex().data())]).toEqual([0, 3, 4, -1, -1, -1, 0, 1, 2, 3, 4, 5]);
    expect([...(await s.visibleChunk().data())].slice(0, 6)).toEqual([0, 0, 0, 1, 2, 2]);
    // Byte 0 closes chunk 0 on its own; byte 5 belongs to no finished chunk.
    expect([...(await s.pooledInto().data())].slice(0, 6)).toEqual([0, 1, 1, 1, 2, -1]);
    s.dispose();
  });

  it('pads the chunk axis to a multiple', () => expect(seg(['1010'], { padTo: 8 }).maxChunks).toBe(8));

  it('refuses a row that does not start with a boundary, unless it continues one', () => {
    expect(() => seg(['1000', '0100'])).toThrow('[Segmentation] row 1: byte 0 is not a boundary. Hint: every chunker marks the first byte of a row.');
    expect([...seg(['1000', '0000'], { continues: true }).numChunks]).toEqual([1, 0]);
  });

  it('properties: pooled bytes and visible chunks cover each row', () =>
    fc.assert(
      fc.property(rowsArbitrary, (rows) => {
        const s = seg(rows);
        const L = rows[0]!.length;
        const visible = s.visibleChunk().dataSync();
        const pooled = s.pooledInto().dataSync();
        rows.forEach((_, b) => {
          const v = [...visible.slice(b * L, (b + 1) * L)];
          expect(v[0]).toBe(0);
          expect(v.every((x, t) => t === 0 || x - v[t - 1]! === 0 || x - v[t - 1]! === 1)).toBe(true);
          expect(v[L - 1]).toBe(s.numChunks[b]! - 1);
          // A byte is pooled into a chunk that it may see only from that chunk's boundary on.
          for (let t = 0; t < L; t++) if (pooled[b * L + t]! >= 0) expect(pooled[b * L + t]! - v[t]!).toBeOneOf([0, 1]);
        });
        s.dispose();
      }),
    ));

  it('inner context: one position a chunk, documents carried over, padding in the last document', () => {
    const s = seg(['100110', '110000']);
    const outer = new SequenceContext(2, 6, { documentIds: Int32Array.of(0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 2, 2) });
    const inner = s.innerContext(outer);
    expect([inner.batch, inner.length]).toEqual([2, 3]);
    expect([...inner.lengths!]).toEqual([3, 2]);
    expect([...inner.documentIds!]).toEqual([0, 1, 1, 0, 2, 2]);
  });
});

describe('SequenceContext', () => {
  it('restarts positions at documents', () => {
    const ctx = new SequenceContext(1, 5, { documentIds: Int32Array.of(3, 3, 4, 4, 4) });
    expect([...ctx.positions()]).toEqual([0, 1, 0, 1, 2]);
  });

  it('checks what it is given', () => {
    expect(() => new SequenceContext(2, 5, { lengths: [5] })).toThrow('[SequenceContext] lengths: expected one per row (2), got 1.');
    expect(() => new SequenceContext(1, 5, { lengths: [6] })).toThrow('[SequenceContext] lengths: 6 is outside 0..5.');
    expect(() => new SequenceContext(1, 5, { ids: new Int32Array(4) })).toThrow('[SequenceContext] ids: expected 1 x 5 values, got 4.');
  });
});
