import { describe, expect, it } from 'vitest';
import { keyGradBytes, keyGradCode, queryGradBytes, queryGradCode, STATS_CODE } from './attention/webgpu-backward.js';
import { forwardBytes, forwardCode } from './attention/webgpu-forward.js';
import { maskCode, MASK_TENSORS } from './attention/webgpu-mask.js';
import { BACKWARD_TILES, chooseTile, FORWARD_TILES } from './attention/webgpu-tiles.js';
import { WRITE_ROWS_CODE } from './cache-rows-webgpu.js';
import { decodeBytes, decodeCode, decodeLayout, mergeCode } from './decode-attention/webgpu-text.js';
import { forwardCode as patchForward, keyGradCode as patchKeyGrad, queryGradCode as patchQueryGrad } from './patch-attention/webgpu-text.js';
import { rotaryCode } from './rotary/webgpu.js';
import { headsCode, pairCode, productCode } from './transformer-step/webgpu-text.js';

const small = { dim: 8, valueDim: 6, rows: 8, columns: 8, isRolled: false };

describe('WGSL', () => {
  it.each<[string, string]>([
    ['attention-forward', forwardCode({ ...small, isMasked: false })],
    ['attention-forward-masked', forwardCode({ ...small, rows: 16, isMasked: true, isRolled: true })],
    ['attention-forward-subgroups', forwardCode({ ...small, isMasked: false, subgroups: true })],
    ['attention-forward-half', forwardCode({ ...small, rows: 16, height: 16, isMasked: true, half: true })],
    ['attention-mask', maskCode(MASK_TENSORS)],
    ['attention-statistics', STATS_CODE],
    ['attention-query-gradient', queryGradCode({ ...small, isMasked: true })],
    ['attention-key-gradient', keyGradCode({ ...small, isMasked: false })],
    ['decode-attention', decodeCode({ shares: 2, isAligned: [true, true], group: 2, block: 32, isWhole: true })],
    ['decode-attention-shared-out', decodeCode({ shares: 1, isAligned: [false, true], group: 1, block: 32, isWhole: false })],
    ['decode-attention-subgroups-half', decodeCode({ shares: 1, isAligned: [true, true], group: 2, block: 16, isWhole: true, subgroups: true, half: true })],
    ['decode-attention-merged', mergeCode(false)],
    ['patch-attention-forward', patchForward('bytes', 'vec4f', { threads: 64 })],
    ['patch-attention-forward-subgroups', patchForward('slots', 'f32', { threads: 128, subgroups: true })],
    ['patch-attention-query-gradient', patchQueryGrad('slots', 'f32', { threads: 64 })],
    ['patch-attention-key-gradient-subgroups', patchKeyGrad('bytes', 'vec4f', { threads: 64, subgroups: true })],
    ['rotary', rotaryCode(true)],
    ['cache-rows', WRITE_ROWS_CODE],
    ['residual-pair', pairCode('addNorm', true)],
    ['residual-pair-post-norm', pairCode('normAdd', true)],
    ['heads', headsCode('all-heads', true)],
    ['product', productCode({ isAligned: true, batch: 1, parts: 3, hasBias: true, isGated: false, hasResidual: false })],
    ['product-gated', productCode({ isAligned: false, batch: 2, parts: 1, hasBias: false, isGated: true, hasResidual: false })],
  ])('%s', async (name, code) => {
    await expect(code).toMatchFileSnapshot(`wgsl/${name}.wgsl`);
  });
});

describe('tiles', () => {
  const text = (dim: number) => ({ dim, valueDim: dim, isMasked: true, isRolled: false });
  const tile = (dim: number, memory: number, tiles: typeof FORWARD_TILES | typeof BACKWARD_TILES, bytes: typeof forwardBytes) => {
    const found = chooseTile(text(dim), tiles, bytes, memory);
    return found && [found.rows, found.columns, bytes(found) <= memory];
  };

  it('take what every device has while they are of good size, and more memory for wide heads', () => {
    expect(tile(32, 32768, FORWARD_TILES, forwardBytes)).toEqual([32, 32, true]);
    expect(tile(64, 32768, FORWARD_TILES, forwardBytes)).toEqual([32, 16, true]);
    expect(tile(128, 32768, FORWARD_TILES, forwardBytes)).toEqual([32, 16, true]);
    expect(tile(128, 16384, FORWARD_TILES, forwardBytes)).toEqual([16, 8, true]);
    for (const bytes of [queryGradBytes, keyGradBytes]) {
      expect(tile(64, 16384, BACKWARD_TILES, bytes)).toEqual([16, 16, true]);
      expect(tile(128, 32768, BACKWARD_TILES, bytes)).toEqual([16, 16, true]);
      expect(tile(128, 16384, BACKWARD_TILES, bytes)).toEqual([8, 8, true]);
    }
    expect(tile(1024, 32768, FORWARD_TILES, forwardBytes)).toBeUndefined();
  });

  it('leave registers: accumulators and operands of a thread stay below 112 floats', () => {
    for (const [rows, columns] of FORWARD_TILES) {
      const [R, C] = [rows / 8, columns / 8];
      // Scores, a running maximum and sum, four vectors of output a row at a width of 128, operands of a step.
      expect(R * C + 3 * R + (rows * columns > 512 ? 1 : 4) * 4 * R + 4 * (R + C)).toBeLessThanOrEqual(112);
    }
  });

  it('decoding fits what every device has', () => {
    for (const dim of [5, 64, 128, 256])
      for (const heads of [1, 3, 12, 32]) {
        const layout = decodeLayout(dim, dim, heads)!;
        expect(layout.group).toBeLessThanOrEqual(8);
        expect(decodeBytes(layout)).toBeLessThanOrEqual(16384);
      }
    expect(decodeLayout(64, 62, 12)).toEqual({ shares: 2, isAligned: [true, false], group: 6, block: 32 });
    expect(decodeLayout(64, 260, 1)).toBeUndefined();
  });
});
