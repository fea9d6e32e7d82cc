/** How a workgroup cuts its part of a product: `tx`×`ty` threads, each with `rm` rows and `rn` columns (multiples of 4), `bk` (a multiple of 4) of the inner axis at a time. */
export interface Tile {
  readonly tx: number;
  readonly ty: number;
  readonly rm: number;
  readonly rn: number;
  readonly bk: number;
  /** Steps of k written out one after the other, 1 to 4. Default 4. */
  readonly unroll?: 1 | 2 | 4;
  /** Factors staged in workgroup memory as f16: half the traffic; needs `shader-f16`, loses precision. */
  readonly half?: boolean;
  /** Products by the device's matrix units instead of its threads. */
  readonly unit?: MatrixUnit;
}

/** What a subgroup multiplies at once: (m, k)·(k, n), factors in float32, or f16 where the tile is `half`; sums in float32. Needs `chromium-experimental-subgroup-matrix`. */
export interface MatrixUnit {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export const tileName = ({ tx, ty, rm, rn, bk, unroll = 4, half, unit }: Tile): string =>
  `${tx}x${ty} of ${rm}x${rn} by ${bk}${unroll === 4 ? '' : ` in ${unroll}`}${half ? ' f16' : ''}${unit ? ` units of ${unit.m}x${unit.n}x${unit.k}` : ''}`;
export const tileRows = (t: Tile): number => t.ty * t.rm;
export const tileColumns = (t: Tile): number => t.tx * t.rn;

/** Candidates for the tuner; the first is right for large products on most devices. */
export const TILES: readonly Tile[] = [
  { tx: 8, ty: 8, rm: 8, rn: 8, bk: 16 },
  { tx: 16, ty: 8, rm: 8, rn: 8, bk: 8 },
  { tx: 16, ty: 16, rm: 4, rn: 4, bk: 16 },
  { tx: 8, ty: 16, rm: 8, rn: 4, bk: 16 },
  { tx: 8, ty: 8, rm: 4, rn: 4, bk: 16 },
  { tx: 16, ty: 4, rm: 4, rn: 8, bk: 16 },
];

const OF_UNITS: Tile = { tx: 16, ty: 8, rm: 8, rn: 4, bk: 16 };

/** Tiles by matrix units, in the sizes that devices were seen to have: Apple's, Intel's and NVIDIA's. */
export const UNIT_TILES: readonly Tile[] = [
  { ...OF_UNITS, unit: { m: 8, n: 8, k: 8 } },
  { ...OF_UNITS, unit: { m: 8, n: 8, k: 8 }, half: true },
  { ...OF_UNITS, unit: { m: 8, n: 16, k: 16 }, half: true },
  { ...OF_UNITS, unit: { m: 16, n: 8, k: 16 }, half: true },
  { ...OF_UNITS, unit: { m: 16, n: 16, k: 16 }, half: true },
];

/** What a tile costs, computed from the numbers that its text is made of. */
export interface TileBudget {
  threads: number;
  workgroupBytes: number;
  /** Accumulators, operands and addresses of a thread, in 32-bit registers. */
  registers: number;
  /** Multiply-adds per vec4 read from workgroup memory. */
  fmaPerLoad: number;
}

export function tileBudget(t: Tile): TileBudget {
  const loads = t.rm / 4 + t.rn / 4;
  return {
    threads: t.tx * t.ty,
    workgroupBytes: (tileRows(t) + tileColumns(t)) * t.bk * (t.half ? 2 : 4),
    registers: 4 * ((t.rm * t.rn) / 4 + loads) + 16,
    fmaPerLoad: (t.rm * t.rn) / loads,
  };
}
