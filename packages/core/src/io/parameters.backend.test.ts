import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Module } from '../module/module.js';
import { backendsForTest, expectNoLeak, useBackend } from '../testing/index.js';
import { mapKeys } from './key-map.js';
import { loadParameters, stateDict } from './parameters.js';
import { openSafetensors } from './safetensors.js';
import { serializeSafetensors, type SavableTensors } from './save-safetensors.js';
import type { HostTensor } from './tensor-source.js';

class Layer extends Module {
  constructor(n: number) {
    super();
    this.addParameter('weight', tf.zeros([2, n]));
    this.addParameter('bias', tf.zeros([2]));
  }
}
class Model extends Module {
  constructor(tied = false) {
    super();
    for (const i of [0, 1]) this.addModule(`layers.${i}`, new Layer(3));
    if (tied) this.tieParameter('head.weight', this.parameters().get('layers.1.weight')!);
  }
}

const host = (shape: number[], first: number): HostTensor => ({ dtype: 'float32', shape, values: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => first + i) });
const file = async (tensors: SavableTensors) => openSafetensors(await serializeSafetensors(tensors));
const good = (): Record<string, HostTensor> => ({
  'layers.0.weight': host([2, 3], 0),
  'layers.0.bias': host([2], 10),
  'layers.1.weight': host([2, 3], 20),
  'layers.1.bias': host([2], 30),
});
const valueOf = async (m: Module, name: string) => [...(await m.parameters().get(name)!.data())];

describe.each(backendsForTest())('loadParameters on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('load, save and load again is the identity and leaks nothing', async () => {
    await expectNoLeak(async () => {
      const model = new Model();
      const seen: string[] = [];
      const report = await loadParameters(model, await file(good()), { onProgress: (done, total, name) => seen.push(`${done}/${total} ${name}`) });
      expect(report.loaded).toHaveLength(4);
      expect(seen[3]).toBe('4/4 layers.1.bias');
      const again = new Model();
      await loadParameters(again, await file(stateDict(model)));
      for (const [name, t] of Object.entries(good())) expect(await valueOf(again, name)).toEqual([...t.values]);
      model.dispose();
      again.dispose();
    });
  });

  it('lists everything that does not fit, and changes nothing', async () => {
    const tensors = { ...good(), extra: host([1], 0), 'layers.0.bias': host([3], 0), 'layers.0.weight': { dtype: 'int32', shape: [2, 3], values: new Int32Array(6) } as HostTensor };
    delete (tensors as Record<string, HostTensor>)['layers.1.bias'];
    const model = new Model();
    const loading = loadParameters(model, await file(tensors));
    await expect(loading).rejects.toMatchObject({
      code: 'checkpoint',
      message: expect.stringMatching(
        /into Model: 1 missing, 1 unexpected, 2 wrong shape\.\s+missing: layers\.1\.bias\s+unexpected: extra\s+wrong shape: (layers\.0\.weight file dtype I32 vs model float32|layers\.0\.bias file \(3\) vs model \(2\)), /,
      ),
    });
    expect(await valueOf(model, 'layers.1.weight')).toEqual([0, 0, 0, 0, 0, 0]);
    model.dispose();
  });

  it('prefix, map and allowUnexpected', async () => {
    const renamed = Object.fromEntries(Object.entries(good()).map(([n, t]) => [`model.${n.replace('layers', 'blocks').replace('weight', 'w')}`, t]));
    const map = mapKeys([
      ['blocks.{i}.w', 'layers.{i}.weight'],
      ['blocks.{i}.{rest...}', 'layers.{i}.{rest...}'],
      ['rotary.inv_freq', null],
    ]);
    const source = await file({ ...renamed, 'model.rotary.inv_freq': host([1], 0), 'optimizer.step': host([1], 0) });
    const model = new Model();
    await loadParameters(model, source, { prefix: 'model', map });
    expect(await valueOf(model, 'layers.1.weight')).toEqual([20, 21, 22, 23, 24, 25]);
    expect([...stateDict(model, { prefix: 'model', map }).keys()].sort()).toEqual(Object.keys(renamed).sort());
    const report = await loadParameters(model, await file({ ...good(), 'x.y': host([1], 0) }), { allowUnexpected: (n) => n.startsWith('x.') });
    expect(report.unexpected).toEqual(['x.y']);
    model.dispose();
  });

  it('NaN and infinity name the tensor', async () => {
    for (const bad of [NaN, -Infinity]) {
      const tensors = good();
      tensors['layers.1.weight']!.values[4] = bad;
      const model = new Model();
      await expect(loadParameters(model, await file(tensors))).rejects.toMatchObject({ code: 'numeric', message: expect.stringContaining(`tensor layers.1.weight holds ${bad} at entry 4`) });
      model.dispose();
    }
  });

  it('a tied parameter needs one of its names, and equal values under both', async () => {
    const model = new Model(true);
    await loadParameters(model, await file(good()));
    expect(await valueOf(model, 'head.weight')).toEqual([20, 21, 22, 23, 24, 25]);
    await loadParameters(model, await file({ ...good(), 'head.weight': host([2, 3], 20) }));
    await expect(loadParameters(model, await file({ ...good(), 'head.weight': host([2, 3], 21) }))).rejects.toThrow(/layers\.1\.weight and head\.weight are one tied parameter of the model, but entry 0 differs \(20, 21\)/);
    const { 'layers.1.weight': _, ...rest } = good();
    await loadParameters(model, await file({ ...rest, 'head.weight': host([2, 3], 40) }));
    expect((await valueOf(model, 'layers.1.weight'))[0]).toBe(40);
    model.dispose();
  });
});
