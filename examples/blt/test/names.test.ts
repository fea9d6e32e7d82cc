import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { fixtureRoot, useBackend } from '@bytelm/core/testing';
import { bltView, createBLT, entropyModelOf, entropyParameterShapes, entropyView, findBLT, parameterShapes, withFfnOf } from '../src/index.js';

const shapes = (model: { parameters(): Map<string, { shape: number[] }> }) => Object.fromEntries([...model.parameters()].map(([n, v]) => [n, v.shape]));

describe('names and shapes', () => {
  beforeAll(() => useBackend('cpu'));

  it.each(['full_k2_gqa', 'full_k3_projection_sharded', 'full_documents_original_names'])('%s: file, list and model agree', async (name) => {
    const source = await findBLT(join(fixtureRoot(), 'blt', name));
    const file = await source.weights!.open();
    const view = bltView(file, source.config);
    const config = withFfnOf(source.config, view);
    expect(config).toEqual(source.config);
    const wanted = Object.fromEntries(parameterShapes(config));
    expect(Object.fromEntries(view.names.map((n) => [n, view.info(n).shape]))).toEqual(wanted);
    const model = createBLT(config);
    expect(shapes(model)).toEqual(wanted);
    const entropyFile = source.entropyWeights ? await source.entropyWeights.open() : file;
    const own = entropyView(entropyFile)!;
    const entropyWanted = Object.fromEntries(entropyParameterShapes(config.entropyModel!));
    expect(Object.fromEntries(own.names.map((n) => [n, own.info(n).shape]))).toEqual(entropyWanted);
    expect(shapes(entropyModelOf(model))).toEqual(entropyWanted);
    entropyModelOf(model).dispose();
    model.dispose();
    await file.close();
  });
});
