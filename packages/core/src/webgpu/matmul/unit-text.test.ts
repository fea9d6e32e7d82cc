import type { TensorInfo } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { WGSL } from '../snippets.js';
import { matMulCode, uniformsOf } from './code.js';
import { dense, packedOperand } from './operands.js';
import { storeDense } from './store.js';
import { tileName, UNIT_TILES, type Tile } from './tile.js';
import type { MatMulCall } from './types.js';
import { unitGrid } from './unit-text.js';

const info = (...shape: number[]): TensorInfo => ({ dataId: {}, shape, dtype: 'float32' });
const [m, n, k] = [128, 96, 64];
const a = dense('a', info(m, k), { sizes: { outer: m, k }, outer: k, k: 1 });
const call: MatMulCall = { key: 'product', m, n, k, a, b: dense('b', info(n, k), { sizes: { outer: n, k }, outer: k, k: 1 }), epilogue: storeDense({ out: { shape: [m, n] }, m, n, bias: info(n), activation: 'silu' }) };
const CALLS: Record<string, MatMulCall> = {
  'a linear layer': call,
  'an int8 weight of odd sizes': { ...call, n: 97, b: packedOperand('b', info(97, 16), info(97, 2), { format: 'int8', group: 32, shape: [97, 64] }), epilogue: storeDense({ out: { shape: [m, 97] }, m, n: 97 }) },
  'pairs of columns': { ...call, functions: WGSL.activations, b: dense('b', info(k, 2 * n), { sizes: { outer: 2 * n, k }, outer: 1, k: 2 * n }), epilogue: storeDense({ out: { shape: [m, n] }, m, n }), pairs: { first: 0, second: n } },
};

const textOf = (product: MatMulCall, tile: Tile, lanes: number): string => matMulCode(product, tile, uniformsOf(product), lanes);

describe('products by matrix units', () => {
  it('write this text for a linear layer', () => expect(textOf(call, UNIT_TILES[0]!, 32)).toMatchSnapshot());

  it('are cut among subgroups of any size, or refused', () => {
    const [tile] = UNIT_TILES as [Tile];
    expect(unitGrid(tile, tile.unit!, 32)).toEqual({ rows: 2, columns: 2, down: 4, across: 4 });
    expect(unitGrid(tile, tile.unit!, 64)).toEqual({ rows: 1, columns: 2, down: 8, across: 4 });
    expect(unitGrid(tile, tile.unit!, 128)).toEqual({ rows: 1, columns: 1, down: 8, across: 8 });
    expect(unitGrid(tile, { m: 8, n: 8, k: 32 }, 32)).toBeUndefined();
    expect(unitGrid(tile, { m: 8, n: 8, k: 8 }, 256)).toBeUndefined();
    expect(() => textOf(call, { ...tile, unit: { m: 12, n: 8, k: 8 } }, 32)).toThrow('a tile of 64x64 cannot be cut among subgroups of 32 threads');
  });
});

/** Dawn without a device checks everything and runs nothing; its adapter has all features. */
describe('Dawn takes the text', () => {
  let device: GPUDevice;
  let keptAlive: unknown;
  beforeAll(async () => {
    const { create } = await import('webgpu');
    const gpu = (keptAlive = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']));
    const adapter = (await gpu.requestAdapter())!;
    device = await adapter.requestDevice({ requiredFeatures: ['chromium-experimental-subgroup-matrix', 'subgroups', 'shader-f16'] as unknown as GPUFeatureName[] });
  });

  async function problemOf(code: string): Promise<string | undefined> {
    expect(keptAlive).toBeDefined();
    device.pushErrorScope('validation');
    device.createComputePipeline({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } });
    return (await device.popErrorScope())?.message;
  }

  it('and would say so if it did not', async () => expect(await problemOf(textOf(call, UNIT_TILES[0]!, 32).replace('<f32, 8, 8>()', '<f32, 8>()'))).toBeTruthy());

  it.each(UNIT_TILES.map((tile) => [tileName(tile), tile] as const))('%s', async (_, tile) => {
    for (const [name, product] of Object.entries(CALLS)) expect(await problemOf(textOf(product, tile, 32)), name).toBeUndefined();
  });
});
