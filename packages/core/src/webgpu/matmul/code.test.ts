import type { TensorInfo } from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { matMulCode, uniformsOf } from './code.js';
import { gemvCode } from './gemv.js';
import { dense, packedOperand } from './operands.js';
import { storeDense } from './store.js';
import { tileBudget, tileName, TILES } from './tile.js';
import type { MatMulCall } from './types.js';

const info = (...shape: number[]): TensorInfo => ({ dataId: {}, shape, dtype: 'float32' });

const textOf = (call: MatMulCall, tile = TILES[0]!): string => matMulCode(call, tile, uniformsOf(call));

const [m, n, k] = [128, 96, 64];
const call: MatMulCall = {
  key: 'product',
  m,
  n,
  k,
  a: dense('a', info(m, k), { sizes: { outer: m, k }, outer: k, k: 1 }),
  b: dense('b', info(n, k), { sizes: { outer: n, k }, outer: k, k: 1 }),
  epilogue: storeDense({ out: { shape: [m, n] }, m, n, bias: info(n), activation: 'silu' }),
};

describe('matmul generator', () => {
  it('writes this text for a linear layer', () => expect(textOf(call)).toMatchSnapshot());

  it('writes this text for an int8 weight of odd sizes, steps of one', () => {
    const b = packedOperand('b', info(97, 16), info(97, 2), { format: 'int8', group: 32, shape: [97, 64] });
    expect(textOf({ ...call, n: 97, b, epilogue: storeDense({ out: { shape: [m, 97] }, m, n: 97 }) }, { tx: 8, ty: 8, rm: 4, rn: 4, bk: 8, unroll: 1 })).toMatchSnapshot();
  });

  it('writes this text for a few rows', () => {
    const epilogue = storeDense({ out: { shape: [2, n] }, m: 2, n, width: 1 });
    const plan = { threads: 64, isAligned: true, subgroups: false };
    expect(gemvCode({ m: 2, n, k, x: info(2, k), weight: info(n, k), epilogue }, plan)).toMatchSnapshot();
    expect(gemvCode({ m: 1, n, k, x: info(1, k), weight: info(n, k / 2), format: 'bf16', epilogue }, { ...plan, subgroups: true })).toMatchSnapshot();
  });

  it.each(TILES.map((t) => [tileName(t), t] as const))('tile %s keeps within the limits of every device', (_, tile) => {
    const { threads, workgroupBytes, registers } = tileBudget(tile);
    expect([64, 128, 256]).toContain(threads);
    expect(workgroupBytes).toBeLessThanOrEqual(16384);
    expect(registers).toBeLessThanOrEqual(112);
    expect(tileBudget({ ...tile, half: true }).workgroupBytes).toBe(workgroupBytes / 2);
  });

  it('reads four values at a time only where all begin at multiples of four', () => {
    const width = (over: object) => dense('a', info(8, 8), { sizes: { outer: 8, k: 8 }, outer: 8, k: 1, ...over });
    expect([width({}).along, width({}).width]).toEqual(['k', 4]);
    expect(width({ outer: 9 }).width).toBe(1);
    expect(width({ offset: 2 }).width).toBe(1);
    expect(width({ batch: [64, 6] }).width).toBe(1);
    expect(width({ sizes: { outer: 8, k: 6 } }).width).toBe(1);
    expect([width({ outer: 1, k: 8 }).along, width({ outer: 1, k: 8 }).width]).toEqual(['outer', 4]);
    expect(() => width({ outer: 3, k: 2 })).toThrow('expected a stride of 1 along k or along the outer axis, got 3 and 2');
  });

  it('refuses two parts of one name', () => {
    const other = dense('a', info(n, k), { sizes: { outer: n, k }, outer: k, k: 1 });
    expect(() => textOf({ ...call, b: other })).toThrow('a uniform `aFar`');
    expect(() => textOf({ ...call, b: { ...other, uniforms: {} } })).toThrow('bind different tensors as `a`');
  });
});
