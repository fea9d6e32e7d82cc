import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { canReadSync, Embedding, Linear, LinearHead, Rng, SequenceLM, unpackWeight, withWeightFormat } from '../index.js';
import { loadParameters, openSafetensors, saveSafetensors, stateDict } from '../io/index.js';
import { backendsForTest, expectClose, expectNoLeak, randomTensors, useBackend } from '../testing/index.js';

const random = randomTensors(71);
const packedLinear = (inFeatures = 24, outFeatures = 10) => withWeightFormat('bf16', () => new Linear({ inFeatures, outFeatures }));

/** Saves a module and reads what the file holds into another one. */
async function through(from: Linear, to: Linear): Promise<Map<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), 'bytelm-'));
  try {
    const path = join(folder, 'model.safetensors');
    await saveSafetensors(stateDict(from), path);
    const source = await openSafetensors(path);
    await loadParameters(to, source);
    const dtypes = new Map(source.names.map((n) => [n, `${source.info(n).dtype} ${source.info(n).shape.join(' ')}`]));
    await source.close();
    return dtypes;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe.each(backendsForTest())('weights kept in bf16 on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('a layer rounds what it is given once, and from then on saves and loads it bit by bit', async () => {
    const plain = new Linear({ inFeatures: 24, outFeatures: 10 }, new Rng(1));
    const [packed, again, rounded] = [packedLinear(), packedLinear(), new Linear({ inFeatures: 24, outFeatures: 10 })];
    expect([packed.weight.dtype, packed.weight.shape, packed.numParameters]).toEqual(['int32', [10, 12], 250]);
    expect((await through(plain, packed)).get('weight')).toBe('F32 10 24');
    expect((await through(packed, again)).get('weight')).toBe('BF16 10 24');
    expect([...(await again.weight.data())]).toEqual([...(await packed.weight.data())]);
    await through(packed, rounded);
    expect([...(await rounded.weight.data())]).toEqual([...(await unpackWeight(packed.packed!).data())]);
    await expectClose(rounded.weight, plain.weight, { atol: 0, rtol: 2 ** -8 });
    for (const rows of [1, 5, 40]) {
      const x = random(rows, 24);
      await expectClose(packed.forward(x), rounded.forward(x), { atol: 2e-6, rtol: 1e-5, name: `${rows} rows` });
    }
    for (const module of [plain, packed, again, rounded]) module.dispose();
  });

  it('leaks nothing', async () => {
    const x = random(3, 24);
    await expectNoLeak(() => {
      const layer = packedLinear();
      layer.forward(x).dispose();
      layer.dispose();
    });
  });

  it.runIf(backend !== 'webgpu')('initial values are rounded, too', async () => {
    const plain = new LinearHead({ vocabSize: 6, dModel: 8 }, new Rng(3));
    const packed = withWeightFormat('bf16', () => new LinearHead({ vocabSize: 6, dModel: 8 }, new Rng(3)));
    expect(canReadSync()).toBe(true);
    await expectClose(unpackWeight(packed.packed!), plain.weight, { atol: 0, rtol: 2 ** -8 });
    plain.dispose();
    packed.dispose();
  });
});

describe('weights kept in bf16', () => {
  beforeAll(() => useBackend('cpu'));

  it('only where it was asked for, and where two values fill a word', () => {
    const odd = packedLinear(7);
    const nested = withWeightFormat('bf16', () => withWeightFormat('float32', () => new Linear({ inFeatures: 8, outFeatures: 2 })));
    const outside = new Linear({ inFeatures: 8, outFeatures: 2 });
    expect([odd, nested, outside].map((l) => [l.weight.dtype, l.packed])).toEqual(Array(3).fill(['float32', undefined]));
    expect(() => withWeightFormat('bf16', () => { throw new Error('inside'); })).toThrow('inside');
    expect(new Linear({ inFeatures: 8, outFeatures: 2 }).packed).toBeUndefined();
  });

  it('refuses what it cannot do', async () => {
    expect(() => withWeightFormat('fp8' as 'bf16', () => 1)).toThrow('[withWeightFormat] format: expected one of float32, bf16, got "fp8".');
    expect(() => withWeightFormat('bf16', () => Promise.resolve(1))).toThrow('[withWeightFormat] build: expected a synchronous function, got a promise.');
    const model = withWeightFormat('bf16', () => {
      const embed = new Embedding({ vocabSize: 5, dModel: 4 }, new Rng(1));
      const backbone = Object.assign(new Linear({ inFeatures: 4, outFeatures: 4 }, new Rng(2)), { dModel: 4 });
      return new SequenceLM({ embed, backbone: backbone as never, head: new LinearHead({ vocabSize: 5, dModel: 4 }) });
    });
    await expect(model.lossAndGrads({ ids: Int32Array.of(1, 2, 3), batch: 1, length: 3 })).rejects.toThrow(
      "[lossAndGrads] 2 weights are kept in bf16 and cannot be trained, the first is backbone.weight. Hint: make the model without withWeightFormat('bf16', …).",
    );
    model.dispose();
  });

  it('names a damaged value of the file', async () => {
    const [path, layer] = [join(mkdtempSync(join(tmpdir(), 'bytelm-')), 'x.safetensors'), packedLinear(4, 1)];
    const stored = { dtype: 'BF16' as const, shape: [1, 4], chunks: () => [new Uint8Array(Uint16Array.of(0x3f80, 0x3f80, 0x7f80, 0).buffer)] };
    await saveSafetensors(new Map<string, never>([['weight', stored as never], ['bias', tf.zeros([1]) as never]]), path);
    const source = await openSafetensors(path);
    await expect(loadParameters(layer, source)).rejects.toThrow('tensor weight holds Infinity at entry 2');
    await source.close();
    layer.dispose();
  });
});
