import type { Binding, Output } from '../bindings.js';
import type { Uniforms } from '../uniforms.js';
import type { Tile } from './tile.js';

/** What every pluggable part of a product may bring along. */
export interface MatMulPart {
  /** Names the WGSL text of the part: equal keys, equal text. */
  key: string;
  bindings?: readonly Binding[];
  /** Reached as `u.<name>`; names are distinct over the whole call. */
  uniforms?: Uniforms;
  /** WGSL at module scope. */
  functions?: string;
  /** WGSL statements once per thread before the products; see `batch`, `bo`, `bi`, `m0`, `n0`, `u`. What they `let` is seen by loads and stores. */
  setup?: string;
}

/** Where the values of a factor come from. */
export interface Operand extends MatMulPart {
  /** The coordinate whose neighbours are neighbours in memory: threads beside each other load values beside each other. `outer` is m of A, n of B. */
  along: 'k' | 'outer';
  /** 4: `load` gives a vec4f of four values along `along`, from a multiple of 4; that axis then has a multiple of 4 values. */
  width: 1 | 4;
  /** WGSL expression of the value at (outer, k), two u32 expressions that stay inside the sizes. */
  load(outer: string, k: string): string;
}

/** Where the products go. */
export interface Epilogue extends MatMulPart {
  outputs: readonly Output[];
  /** 4: `store` gets a vec4f for the columns n to n+3, n a multiple of 4; N then is one. */
  width: 1 | 4;
  /** WGSL statements that store the value of (m, n), names inside the sizes. */
  store(value: string, m: string, n: string): string;
}

/** A product C = A·B of `batch` matrices (m×k)·(k×n). */
export interface MatMulCall {
  /** Names what `setup`, `kFrom`, `kTo`, `skip` and `functions` say: equal keys, equal text. */
  key: string;
  m: number;
  n: number;
  k: number;
  /** How many products, or two such numbers: `batch = bo * inner + bi`. Default 1. */
  batch?: number | readonly [outer: number, inner: number];
  a: Operand;
  b: Operand;
  epilogue: Epilogue;
  setup?: string;
  functions?: string;
  uniforms?: Uniforms;
  bindings?: readonly Binding[];
  /** Only the tiles of k in [kFrom, kTo) are visited: u32 expressions over `batch`, `bo`, `bi`, `m0`, `n0`, `BM`, `BN` and `u`. Values outside must be zero by the loads already. */
  kFrom?: string;
  kTo?: string;
  /** Condition over the same: the workgroup writes nothing. */
  skip?: string;
  /** Two columns of B for one of C: value = combine(column first+n, column second+n). */
  pairs?: { first: number; second: number; combine?: string };
  /** Default: chosen by shape and device. */
  tile?: Tile;
}
