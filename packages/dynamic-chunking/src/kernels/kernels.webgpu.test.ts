import { hostFloats, hostIntegers, kernelSuite, type KernelCase } from '@bytelm/core/testing';
import { beforeAll, describe, it } from 'vitest';
import { boundaryProbabilityGradOp, boundaryProbabilityOp } from './boundary-probability/op.js';
import { compactOp } from './compact/op.js';
import { confidenceGateGradOp } from './confidence-gate/op.js';
import { emaGatherGradOp, emaGatherOp } from './ema-gather/op.js';
import { emaGradOp, emaOp } from './ema/op.js';

const cases: Record<string, KernelCase> = {};

function ema(B: number, M: number, D: number, options: { initial?: boolean; documents?: number } = {}): void {
  const { initial, documents } = options;
  const name = `(${B}, ${M}, ${D})${initial ? ', initial state' : ''}${documents ? ', documents' : ''}`;
  // Probabilities beyond the clamp on both sides; positions before the first value and values without positions.
  const L = 2 * M + 3;
  const inputs = {
    x: hostFloats([B, M, D]),
    p: hostFloats([B, M], -0.1, 1.1),
    initialState: initial ? hostFloats([B, D]) : undefined,
    documentIds: documents ? hostIntegers([B, M], (i) => 1 + Math.floor((i % M) / documents)) : undefined,
  };
  const index = hostIntegers([B, L], (i) => Math.min(M - 1, 2 * Math.floor(((i % L) + 1) / 3) - 1));
  const attrs = { min: 0.01, max: 0.99 };
  const z = hostFloats([B, M, D], -2, 1);
  cases[`moving average ${name}`] = { op: emaOp, inputs, attrs };
  cases[`moving average gradient ${name}`] = { op: emaGradOp, inputs: { ...inputs, z, dz: hostFloats([B, M, D], -1, 1.3) }, attrs };
  cases[`moving average gathered ${name}`] = { op: emaGatherOp, inputs: { ...inputs, index }, attrs };
  cases[`moving average gathered gradient ${name}`] = { op: emaGatherGradOp, inputs: { ...inputs, index, z, dy: hostFloats([B, L, D], -1, 1.3) }, attrs };
}
ema(2, 1, 5, { initial: true });
ema(2, 64, 4);
ema(1, 65, 264);
ema(2, 200, 5, { initial: true, documents: 9 });
for (const D of [1, 65, 256]) {
  cases[`boundary probability, width ${D}`] = { op: boundaryProbabilityOp, inputs: { q: hostFloats([9, D], 0.1), k: hostFloats([9, D], -1, 2) }, attrs: {} };
  cases[`boundary probability gradient, width ${D}`] = {
    op: boundaryProbabilityGradOp,
    inputs: { q: hostFloats([9, D], 0.1), k: hostFloats([9, D], -1, 2), p: hostFloats([9], 0, 1), dp: hostFloats([9], -1, 1.1) },
    attrs: {},
  };
  cases[`confidence gate gradient, width ${D}`] = {
    op: confidenceGateGradOp,
    inputs: { u: hostFloats([2, 3, D]), mask: hostIntegersAsFloats([2, 3], (i) => i % 2), dy: hostFloats([2, 3, D], -1, 2) },
    attrs: {},
  };
}
// 5000 positions are two rounds of a workgroup; 9 chunks are fewer than there are boundaries.
for (const [L, M] of [[1, 1], [64, 64], [65, 9], [5000, 2500]] as const) {
  cases[`compaction of ${L} positions to ${M}`] = { op: compactOp, inputs: { mask: hostFloats([2, L], 0, 0.8) }, attrs: { maxChunks: M } };
}

function hostIntegersAsFloats(shape: number[], f: (i: number) => number) {
  return { shape, dtype: 'float32' as const, values: Float32Array.from(hostIntegers(shape, f).values) };
}

describe('WGSL kernels of dynamic-chunking', () => {
  const { names, prepare, check } = kernelSuite(cases, /ema|boundary|gate|compact/);
  beforeAll(prepare);
  it.each(names)('%s', check);
});
