import { hostFloats, hostIntegers, kernelSuite, type KernelCase } from '@bytelm/core/testing';
import type * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, it } from 'vitest';
import type { CellAttrs, CellGradInput } from './cell/attrs.js';
import { cellGradOp, cellOp } from './cell/op.js';
import { headNormGradOp, headNormOp } from './head-norm/op.js';

const cases: Record<string, KernelCase> = {};

interface Options {
  initial?: boolean;
  /** Length of each document. */
  documents?: number;
  lengths?: number[];
  /** Asks for the final state and gives it a gradient. */
  state?: boolean;
  published?: boolean;
}

function cell(name: string, [B, L, H, K, V]: [number, number, number, number, number], chunkSize: number, o: Options): void {
  const inputs = {
    q: hostFloats([B, L, H, K], -2, 2),
    k: hostFloats([B, L, H, K], -2, 2.1),
    v: hostFloats([B, L, H, V], -2, 2),
    // Either gate makes the stabiliser somewhere.
    inputGate: hostFloats([B, L, H], -3, 3),
    forgetGate: hostFloats([B, L, H], -2, 3.5),
    ...(o.initial && { C: hostFloats([B, H, K, V]), n: hostFloats([B, H, K], -1, 1.3), m: hostFloats([B, H]) }),
    documentIds: o.documents ? hostIntegers([B, L], (i) => Math.floor((i % L) / o.documents!)) : undefined,
    lengths: o.lengths ? hostIntegers([B], (b) => o.lengths![b]!) : undefined,
  };
  const attrs: CellAttrs = { chunkSize, recurrent: false, eps: 1e-3, publishedGradient: o.published ?? false, returnFinalState: o.state ?? false };
  cases[`cell, ${name}`] = { op: cellOp, inputs, attrs };
  const dState = o.state ? { dC: hostFloats([B, H, K, V], -1, 1.2), dn: hostFloats([B, H, K], -1, 1.4), dm: hostFloats([B, H], -1, 1.1) } : {};
  cases[`cell gradient, ${name}`] = { op: gradient, inputs: { ...inputs, ...dState, dh: hostFloats([B, L, H, V], -1, 1.2) }, attrs };
}

/** The gradient also takes the forward's result. */
function gradient({ dh, dC, dn, dm, ...inputs }: { [K in CellGradInput]?: tf.Tensor }, attrs: CellAttrs): tf.Tensor[] {
  const [h] = cellOp(inputs, { ...attrs, returnFinalState: false }) as [tf.Tensor];
  const grads = cellGradOp({ ...inputs, h, dh, dC, dn, dm }, attrs);
  h.dispose();
  return grads;
}
cell('one chunk without states', [1, 9, 2, 4, 8], 64, {});
cell('everything', [2, 65, 2, 8, 12], 64, { initial: true, documents: 20, state: true, lengths: [65, 40] });
cell('odd sizes, small chunks, published gradient', [2, 21, 3, 6, 5], 8, { state: true, published: true });
for (const [rows, size] of [[1, 1], [35, 33], [16, 65]] as const) {
  const norm = { h: hostFloats([rows, 2, size], 2, 3), gate: hostFloats([rows, 2 * size], -3, 3), weight: hostFloats([2 * size]) };
  // A single value has no deviation but eps: a large one keeps 1 / deviation moderate.
  const attrs = { eps: 1e-2 };
  cases[`head norm of ${rows} rows, ${size} values`] = { op: headNormOp, inputs: norm, attrs };
  cases[`head norm gradient of ${rows} rows, ${size} values`] = { op: headNormGradOp, inputs: { ...norm, dy: hostFloats([rows, 2 * size], -1, 1.4) }, attrs };
}

describe('WGSL kernels of mlstm', () => {
  const { names, prepare, check } = kernelSuite(cases, /mlstm/);
  beforeAll(prepare);
  it.each(names)('%s', check);
});
