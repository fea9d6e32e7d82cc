import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { Binding } from '../../webgpu/bindings.js';
import { vectorOf } from '../../webgpu/kernel.js';
import { sizeOf } from '../host.js';

/** How the rows of a norm are dealt to threads: `lanes` of them work on a group of a row, each on `columns` values (or vectors) in registers. */
export interface NormLayout {
  rows: number;
  /** Groups of a row, each with a mean of its own. */
  groups: number;
  /** Values, or vectors of four, of a group. */
  size: number;
  type: 'f32' | 'vec4f';
  suffix: '' | '4';
  lanes: number;
  columns: number;
  threads: number;
  /** Groups that a workgroup works on at a time. */
  teams: number;
}

/** Values that a thread keeps: beyond, registers spill. */
const MOST_COLUMNS = 8;

/** `null` for groups too long to be kept in registers. */
export function normLayout(shape: readonly number[], groupSize: number): NormLayout | null {
  const width = shape[shape.length - 1]!;
  const { type, per, suffix } = vectorOf(groupSize);
  const size = groupSize / per;
  let lanes = 8;
  while (lanes < 256 && lanes * 2 < size) lanes *= 2;
  const columns = Math.ceil(size / lanes);
  if (columns > MOST_COLUMNS) return null;
  const threads = Math.max(64, lanes);
  return { rows: sizeOf(shape.slice(0, -1)), groups: width / groupSize, size, type, suffix, lanes, columns, threads, teams: threads / lanes };
}

/** Tensors read as the layout's values; those that are not there are left out. */
export const readsOf = ({ type }: NormLayout, tensors: { readonly [name: string]: TensorInfo | undefined }): Binding[] =>
  Object.entries(tensors).flatMap(([name, tensor]) => (tensor ? [{ name, type, tensor }] : []));

/** WGSL: the thread's place in its team, and the team's number among all. */
export const teamOf = (l: NormLayout): string => `let lane = t % ${l.lanes}u; let team = group * ${l.teams}u + t / ${l.lanes}u;`;

/** `f` for each column of a thread: c, the name of its index in the group `j<c>`, and whether it may lie outside (`in<c>` tells). */
export const eachColumn = ({ columns }: NormLayout, f: (c: number) => string): string => Array.from({ length: columns }, (_, c) => `    ${f(c)}`).join('\n');

/** WGSL that defines `j<c>` and `in<c>`. */
export const columnIndices = (l: NormLayout): string =>
  eachColumn(l, (c) => `let at${c} = lane + ${c * l.lanes}u; let in${c} = at${c} < u.size; let j${c} = min(at${c}, u.size - 1u);`);

/** Sum of the components of a vector (or the value itself). */
export const total = ({ type }: NormLayout, v: string): string => (type === 'f32' ? `(${v})` : `dot(${v}, vec4f(1.0))`);
