import type { KernelBackend } from '@tensorflow/tfjs-core';
import { isSoftwareDevice, matrixConfigs, subgroupSizes, type MatrixConfig } from '../adapter.js';
import { mayUseHalf } from '../precision.js';
import { tunedChoice } from '../tuning/choices.js';
import { TILES, tileColumns, tileRows, UNIT_TILES, type MatrixUnit, type Tile } from './tile.js';
import { unitGrid } from './unit-text.js';

/** What a tile is chosen by. */
export interface MatMulShape {
  batch: number;
  m: number;
  n: number;
  k: number;
  /** How both factors are loaded, e.g. `k4 outer4`. */
  forms: string;
  /** Two columns make one: the tile must hold both. */
  isPaired: boolean;
}

/** The nearest power of two, as its exponent: shapes of one bucket share a choice. */
export const bucket = (size: number) => Math.round(Math.log2(Math.max(1, size)));

/** Name of a shape among measured choices. */
export const shapeKey = ({ batch, m, n, k, forms, isPaired }: MatMulShape): string => `matmul ${forms}${isPaired ? ' pairs' : ''} ${[batch, m, n, k].map(bucket).join()}`;

/** What measured choices count: the tiles, then the same with factors kept as f16, then those by matrix units. */
export const CANDIDATE_TILES: readonly Tile[] = [...TILES, ...TILES.map((tile) => ({ ...tile, half: true })), ...UNIT_TILES];

/** Tiles that can do the shape at all. */
const possibleTiles = ({ isPaired }: Pick<MatMulShape, 'isPaired'>): Tile[] => TILES.filter((t) => !isPaired || t.rn % 8 === 0);

/** Tiles to measure on this device: those of any device, f16 where that is allowed, matrix units where it has them. */
export const candidateTiles = (backend: KernelBackend): Tile[] => CANDIDATE_TILES.filter((tile) => (!tile.half || mayUseHalf(backend)) && (!tile.unit || canUseUnit(backend, tile, tile.unit)));

/** Whether the device multiplies matrices of that size, in subgroups of one size that a workgroup is whole ones of. */
function canUseUnit(backend: KernelBackend, tile: Tile, unit: MatrixUnit): boolean {
  const { min, max } = subgroupSizes(backend) ?? { min: 0, max: 1 };
  const has = ({ componentType, resultComponentType, M, N, K }: MatrixConfig) => componentType === (tile.half ? 'f16' : 'f32') && resultComponentType === 'f32' && M === unit.m && N === unit.n && K === unit.k;
  return min === max && unitGrid(tile, unit, min) !== undefined && matrixConfigs(backend).some(has);
}

/** The measured choice for this device where there is one, else by rule. */
export function chooseTile(backend: KernelBackend, shape: MatMulShape): Tile {
  const tuned = tunedChoice(backend, shapeKey(shape));
  return (tuned !== undefined && CANDIDATE_TILES[tuned]) || defaultTile(possibleTiles(shape), shape, isSoftwareDevice(backend));
}

/** Enough workgroups for a large device; below, smaller tiles keep more of it busy. */
const WORKGROUPS = 200;

/** An adapter on the CPU runs few workgroups at a time, and compiles for seconds what is written out: two tiles in short form do. */
const ON_SOFTWARE: readonly Tile[] = [
  { tx: 8, ty: 8, rm: 8, rn: 8, bk: 16, unroll: 1 },
  { tx: 8, ty: 8, rm: 4, rn: 4, bk: 16, unroll: 1 },
];

function defaultTile(possible: readonly Tile[], { batch, m, n, isPaired }: MatMulShape, isSoftware: boolean): Tile {
  const columns = isPaired ? 2 * n : n;
  const wasted = (t: Tile) => (Math.ceil(m / tileRows(t)) * tileRows(t) * Math.ceil(columns / tileColumns(t)) * tileColumns(t)) / (m * columns);
  const groups = (t: Tile) => batch * Math.ceil(m / tileRows(t)) * Math.ceil(columns / tileColumns(t));
  // What is computed for nothing at the edges, what a small register tile reads more often, and what an idle device costs.
  const cost = (t: Tile) => wasted(t) * (1 + 8 * (1 / t.rm + 1 / t.rn)) * (isSoftware ? 1 : Math.max(1, Math.min(4, WORKGROUPS / groups(t))));
  return (isSoftware ? ON_SOFTWARE.filter((t) => !isPaired || t.rn % 8 === 0) : possible).reduce((best, t) => (cost(t) < cost(best) ? t : best));
}
