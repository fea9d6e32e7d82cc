import type { KernelBackend } from '@tensorflow/tfjs-core';
import { canReduceInSubgroups, mayUseHalf, sizeBucket, tunedChoice } from '@bytelm/core/webgpu';
import { keyGradBytes, queryGradBytes } from './webgpu-backward.js';
import { forwardBytes } from './webgpu-forward.js';
import type { AttentionText, AttentionTile } from './webgpu-shape.js';
import { heightOf, SIDE, type Form } from './webgpu-text.js';

/** The three kernels: outputs, gradients of queries, gradients of keys and values. */
export type Pass = 'forward' | 'queries' | 'keys';
type Tiles = readonly (readonly [rows: number, columns: number])[];

/** Tiles (rows, columns), the best first. */
export const FORWARD_TILES = [[32, 32], [32, 16], [16, 16], [16, 8], [8, 8]] as const;
export const BACKWARD_TILES = [[16, 16], [16, 8], [8, 8]] as const;
/** Of the forward pass where a processor plays the GPU: the smallest text, as compiling takes longest there. */
const SOFTWARE_TILES = [[8, 8]] as const;
/** What every device has; beyond, fewer workgroups share a core. */
const SMALL_MEMORY = 16384;
/** Pairs of a tile from which on there is enough arithmetic between two barriers. */
const GOOD_TILE = 256;

export const BYTES: Readonly<Record<Pass, (a: AttentionText) => number>> = { forward: forwardBytes, queries: queryGradBytes, keys: keyGradBytes };
const tilesOf = (pass: Pass, isSoftware: boolean): Tiles => (pass === 'forward' ? (isSoftware ? SOFTWARE_TILES : FORWARD_TILES) : BACKWARD_TILES);

/** The first tile of good size in the memory that every device has, otherwise the first one that fits at all. */
export function chooseTile(text: Omit<AttentionText, keyof AttentionTile>, tiles: Tiles, bytes: (a: AttentionText) => number, memory: number): AttentionText | undefined {
  const all = tiles.map(([rows, columns]) => ({ ...text, rows, columns }));
  return all.find((a) => bytes(a) <= Math.min(SMALL_MEMORY, memory) && a.rows * a.columns >= GOOD_TILE) ?? all.find((a) => bytes(a) <= memory);
}

/** What goes where nothing was measured. */
export const ruleOf = (pass: Pass, text: Omit<AttentionText, keyof AttentionTile>, { memory, isSoftware }: { memory: number; isSoftware: boolean }): AttentionText | undefined =>
  chooseTile(text, tilesOf(pass, isSoftware), BYTES[pass], memory);

/** What a tuner may try besides: as many rows again for twice the threads. */
const tall = (tiles: Tiles): AttentionTile[] => tiles.map(([rows, columns]) => ({ rows, columns, height: 2 * SIDE }));
const plain = (tiles: Tiles): AttentionTile[] => tiles.map(([rows, columns]) => ({ rows, columns }));
const BASES: Readonly<Record<'forward' | 'backward', readonly AttentionTile[]>> = {
  forward: [...plain(FORWARD_TILES), ...tall([[64, 32], [64, 16], [32, 32], [32, 16]])],
  backward: [...plain(BACKWARD_TILES), ...tall([[32, 16], [32, 8], [16, 16]])],
};

/** Forms of a kernel by number: as it is, then what features of the device allow. */
export const VARIANTS: readonly Form[] = [{}, { subgroups: true }, { half: true }, { subgroups: true, half: true }];

/**
 * Measured choices are numbers in this list: all sizes, and of the forward pass those again in each variant. Gradients have no maxima to agree on,
 * and get lost in f16.
 */
export const CANDIDATES: Readonly<Record<Pass, readonly AttentionTile[]>> = {
  forward: VARIANTS.flatMap((form) => BASES.forward.map((tile) => ({ ...tile, ...form }))),
  queries: BASES.backward,
  keys: BASES.backward,
};
export const basesOf = (pass: Pass): readonly AttentionTile[] => (pass === 'forward' ? BASES.forward : BASES.backward);

/** Whether the device has what a form needs, and the user allows it. */
export const canHave = (backend: KernelBackend, form: Form): boolean =>
  (!form.subgroups || canReduceInSubgroups(backend, { lanes: SIDE, threads: SIDE * heightOf(form) })) && (!form.half || mayUseHalf(backend));

/** What choices are noted for. */
export interface AttentionSizes {
  batch: number;
  queries: number;
  keys: number;
  heads: number;
  dim: number;
  valueDim: number;
  isMasked: boolean;
}

export const attentionKey = (pass: Pass, { batch, queries, keys, heads, dim, valueDim, isMasked }: AttentionSizes): string =>
  `attention ${pass} ${dim}, ${valueDim}${isMasked ? ' masked' : ''} ${[batch * heads, queries, keys].map(sizeBucket).join()}`;

/** The tile that was measured as the best on this device. */
export function tunedTile(backend: KernelBackend, pass: Pass, sizes: AttentionSizes): AttentionTile | undefined {
  const number = tunedChoice(backend, attentionKey(pass, sizes));
  const tile = number === undefined ? undefined : CANDIDATES[pass][number];
  return tile && canHave(backend, tile) ? tile : undefined;
}
