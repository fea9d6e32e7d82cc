import { SequenceContext } from '@bytelm/core';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { tinyEntropyModel } from '../testing.js';
import { calibrateThreshold } from './calibrate.js';
import { entropies } from './entropies.js';
import { entropyValues, nextByteEntropy } from './next-byte-entropy.js';

describe.each(backendsForTest())('entropies on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('are those of the definition, also for ids that are ruled out', async () => {
    const logits = [0, 0, 0, 0, 2, -1, 0.5, 3, 100, -100, 0, 1, -Infinity, 0, 0, -Infinity];
    const expected = Array.from({ length: 4 }, (_, r) => {
      const row = logits.slice(r * 4, r * 4 + 4);
      const sum = row.reduce((s, x) => s + Math.exp(x), 0);
      return row.reduce((h, x) => (x === -Infinity ? h : h - (Math.exp(x) / sum) * (x - Math.log(sum))), 0);
    });
    expect(expected[3]).toBeCloseTo(Math.log(2), 12);
    await expectClose(nextByteEntropy(tf.tensor3d(logits, [1, 4, 4])), expected, { atol: 1e-5 });
    expect([...entropyValues(logits, 4, new Float32Array(4))].map((v, i) => Math.abs(v - expected[i]!) < 1e-6)).toEqual([true, true, true, true]);
  });

  it('have a gradient', () => checkGradients((x) => nextByteEntropy(x!), [tf.randomUniform([2, 3, 5], -2, 2, 'float32', 3)]));

  it('are the same in pieces, alone and in a batch, packed and not', async () => {
    const model = tinyEntropyModel({ windowSize: 4 });
    const [B, L] = [2, 26];
    const ids = Int32Array.from({ length: B * L }, (_, i) => 4 + ((i * i * 7 + i) % 256));
    const documentIds = Int32Array.from({ length: B * L }, (_, i) => (i % L >= 9 + 4 * Math.floor(i / L) ? 1 : 0));
    const lengths = [26, 17];
    const whole = await entropies(model, ids, new SequenceContext(B, L, { documentIds, lengths }), { pieceLength: 100 });
    const pieces = await entropies(model, ids, new SequenceContext(B, L, { documentIds, lengths }), { pieceLength: 3 });
    expect(Math.max(...whole.map((v, i) => Math.abs(v - pieces[i]!)))).toBeLessThan(1e-5);
    for (const b of [0, 1]) {
      const cut = 9 + 4 * b;
      for (const [from, to] of [[0, cut], [cut, lengths[b]!]] as const) {
        const alone = await entropies(model, ids.slice(b * L + from, b * L + to), new SequenceContext(1, to - from));
        expect(Math.max(...alone.map((v, i) => Math.abs(v - whole[b * L + from + i]!)))).toBeLessThan(1e-5);
      }
    }
    expect([...whole.subarray(L + 17)]).toEqual(new Array(9).fill(0));
    await expectNoLeak(() => entropies(model, ids, new SequenceContext(B, L, { documentIds, lengths }), { pieceLength: 7 }));
    model.dispose();
  });

  it('say where logits are not finite', async () => {
    const model = tinyEntropyModel();
    model.parameters().get('head.weight')!.assign(tf.fill([260, 16], NaN));
    await expect(entropies(model, Int32Array.of(1, 70), new SequenceContext(1, 2))).rejects.toThrow("[entropies] row 0, position 0: the entropy model's logits are not finite.");
    model.dispose();
  });

  it('calibrate a threshold', async () => {
    const model = tinyEntropyModel();
    const texts = ['some text with words in it, some more of it', 'and another one\nof two lines', 'short'];
    const found = await calibrateThreshold({ model, texts, targetBytesPerChunk: 3 });
    expect(Math.abs(found.bytesPerChunk - 3)).toBeLessThan(0.2);
    expect(found.bytes).toBe(texts.reduce((n, t) => n + t.length + 1, 0));
    expect(found.bytes / found.chunks).toBe(found.bytesPerChunk);
    model.dispose();
  });
});
