import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { Binding } from '../bindings.js';
import { WGSL } from '../snippets.js';
import { u32 } from '../uniforms.js';
import type { Epilogue } from './types.js';

export interface DenseStore {
  /** Shape of the result (or an existing tensor, changed in place), rows of n values. */
  out: TensorInfo | { shape: readonly number[]; dtype?: DataType };
  m: number;
  n: number;
  /** Distance of the rows. Default n. */
  row?: number | undefined;
  /** Distance of the matrices of a batch, for its outer and inner counter. Default: matrices one after the other, `inner` of them. */
  batch?: readonly [outer: number, inner: number] | undefined;
  /** How many the inner counter counts, for the default of `batch`. Default 1. */
  inner?: number | undefined;
  /** Of the first value. Default 0. */
  offset?: number | undefined;
  /** (n), added to every row. */
  bias?: TensorInfo | undefined;
  /** After the bias. */
  activation?: 'silu' | undefined;
  /** Laid out as the result, added last. */
  residual?: TensorInfo | undefined;
  /** Adds to what `out` holds. */
  accumulate?: boolean | undefined;
  /** 1 where the kernel stores single values. Default: 4 where n and the strides allow. */
  width?: 1 | undefined;
}

/** Stores products row by row: `activation(value + bias) + residual`. */
export function storeDense(to: DenseStore): Epilogue {
  const { out, m, n, row = n, inner = 1, offset = 0, bias, activation, residual, accumulate } = to;
  const batch = to.batch ?? [inner * m * row, m * row];
  const width = to.width ?? ([n, row, offset, ...batch].every((v) => v % 4 === 0) ? 4 : 1);
  const [type, unit, shift] = width === 4 ? (['vec4f', 4, ' >> 2u'] as const) : (['f32', 1, ''] as const);
  const bindings: Binding[] = [];
  if (bias) bindings.push({ name: 'bias', type, tensor: bias });
  if (residual) bindings.push({ name: 'residual', type, tensor: residual });
  return {
    key: `store${width}${bias ? ' bias' : ''}${activation ? ` ${activation}` : ''}${residual ? ' residual' : ''}${accumulate ? ' accumulate' : ''}`,
    bindings,
    uniforms: { cRow: u32(row / unit), cOuter: u32(batch[0] / unit), cInner: u32(batch[1] / unit), cOffset: u32(offset / unit) },
    functions: activation ? WGSL.activations : '',
    setup: 'let cBase = u.cOffset + bo * u.cOuter + bi * u.cInner;',
    outputs: [{ name: 'c', type, out }],
    width,
    store: (value, mm, nn) => {
      let v = bias ? `(${value} + bias[${nn}${shift}])` : value;
      if (activation) v = `${activation}${width === 4 ? '4' : ''}(${v})`;
      const at = `cBase + ${mm} * u.cRow + (${nn}${shift})`;
      if (residual) v = `(${v} + residual[at])`;
      if (accumulate) v = `(c[at] + ${v})`;
      return `let at = ${at}; c[at] = ${v};`;
    },
  };
}
