import { hostFloats, hostIntegers, kernelSuite, type KernelCase } from '@bytelm/core/testing';
import { beforeAll, describe, it } from 'vitest';
import { convGradOp, convOp } from './conv1d/op.js';
import { ssdGradOp, ssdOp } from './ssd/op.js';

const cases: Record<string, KernelCase> = {};

interface Options {
  bias?: boolean;
  initial?: boolean;
  /** Length of each document. */
  documents?: number;
  lengths?: number[];
  /** Asks for the last state and gives it a gradient. */
  state?: boolean;
}

const optional = (B: number, L: number, { documents, lengths }: Options) => ({
  documentIds: documents ? hostIntegers([B, L], (i) => Math.floor((i % L) / documents)) : undefined,
  lengths: lengths ? hostIntegers([B], (b) => lengths[b]!) : undefined,
});

function conv(name: string, [B, L, C, K]: [number, number, number, number], silu: boolean, o: Options): void {
  const inputs = {
    x: hostFloats([B, L, C]),
    weight: hostFloats([C, K]),
    bias: o.bias ? hostFloats([C]) : undefined,
    initialState: o.initial ? hostFloats([B, K - 1, C], -1, 1.5) : undefined,
    ...optional(B, L, o),
  };
  const attrs = { silu, returnState: o.state ?? false };
  cases[`convolution, ${name}`] = { op: convOp, inputs, attrs };
  cases[`convolution gradient, ${name}`] = {
    op: convGradOp,
    inputs: { ...inputs, dy: hostFloats([B, L, C], -1.1), dState: o.state ? hostFloats([B, K - 1, C], -1, 1.2) : undefined },
    attrs,
  };
}
conv('four channels at a time', [2, 65, 8, 4], true, { bias: true });
conv('one at a time, packed, from a state', [2, 130, 5, 3], true, { bias: true, initial: true, documents: 7, state: true, lengths: [130, 2] });
conv('a single position', [1, 1, 4, 4], false, { initial: true, state: true });
conv('shorter than the window', [3, 7, 2, 4], false, { initial: true, state: true, lengths: [7, 2, 0] });

function ssd(name: string, [B, L, H, P, G, N]: [number, number, number, number, number, number], chunkSize: number, o: Options & { D?: 'head' | 'channel'; limited?: boolean }): void {
  const inputs = {
    x: hostFloats([B, L, H, P]),
    dt: hostFloats([B, L, H], -3, 1),
    A: hostFloats([H], -4, -0.5),
    B: hostFloats([B, L, G, N]),
    C: hostFloats([B, L, G, N], -1, 1.1),
    D: o.D ? hostFloats(o.D === 'head' ? [H] : [H, P]) : undefined,
    dtBias: o.bias ? hostFloats([H]) : undefined,
    initialState: o.initial ? hostFloats([B, H, P, N]) : undefined,
    ...optional(B, L, o),
  };
  const attrs = { dtSoftplus: true, dtMin: o.limited ? 0.02 : 0, dtMax: o.limited ? 0.7 : Infinity, chunkSize, returnFinalState: o.state ?? false };
  cases[`scan, ${name}`] = { op: ssdOp, inputs, attrs };
  cases[`scan gradient, ${name}`] = {
    op: ssdGradOp,
    inputs: { ...inputs, dy: hostFloats([B, L, H, P], -1, 1.2), dState: o.state ? hostFloats([B, H, P, N], -1, 1.2) : undefined },
    attrs,
  };
}
ssd('one chunk without states', [1, 9, 2, 3, 1, 5], 64, {});
ssd('everything', [2, 65, 4, 8, 2, 12], 64, { D: 'head', bias: true, initial: true, documents: 20, state: true, limited: true, lengths: [65, 40] });
ssd('odd sizes and small chunks', [2, 21, 4, 6, 2, 5], 8, { D: 'channel', state: true });

describe('WGSL kernels of mamba2', () => {
  const { names, prepare, check } = kernelSuite(cases, /conv1d|ssd/);
  beforeAll(prepare);
  it.each(names)('%s', check);
});
