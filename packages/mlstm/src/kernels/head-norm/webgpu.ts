import type { FastKernel } from '@bytelm/core';
import { reduction, runWgsl, webGpuSum, WGSL } from '@bytelm/core/webgpu';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { HeadNormAttrs, HeadNormGradInput, HeadNormInput } from './attrs.js';

/** Rows whose part of the weight's gradient one workgroup adds up. */
const ROWS = 16;

const declare = () => WGSL.activations + reduction('sumAll', 64);
const sizesOf = ({ shape }: TensorInfo) => shape as [rows: number, heads: number, size: number];

/** Mean and inverse deviation of a head's values at `row`; deviations from the mean, since values may be close together and far from 0. */
const moments = `
    let base = (row * u.heads + head) * u.size;
    var own = 0.0;
    for (var j = local; j < u.size; j += 64u) { own += h[base + j]; }
    let mean = sumAll(own, local) / f32(u.size);
    own = 0.0;
    for (var j = local; j < u.size; j += 64u) { let d = h[base + j] - mean; own += d * d; }
    let r = inverseSqrt(sumAll(own, local) / f32(u.size) + u.eps);`;

/** A workgroup has a head of a row. */
export const headNormWebGpu: FastKernel<HeadNormInput, HeadNormAttrs> = ({ inputs: { h, gate, weight }, attrs: { eps }, backend }) => {
  const [rows, heads, size] = sizesOf(h!);
  if (rows * heads * size === 0) return null;
  return runWgsl(backend, {
    key: 'mlstm head norm',
    inputs: { h, gate, weight },
    outputs: { y: { shape: [rows, heads * size] } },
    u32: { heads, size },
    f32: { eps },
    workgroups: rows * heads,
    declare,
    main: () => `
    let head = g % u.heads;
    let row = g / u.heads;${moments}
    for (var j = local; j < u.size; j += 64u) {
      y[base + j] = (h[base + j] - mean) * r * weight[head * u.size + j] * sigmoid(gate[base + j]);
    }`,
  });
};

/** A workgroup has a head of some rows. */
export const headNormGradWebGpu: FastKernel<HeadNormGradInput, HeadNormAttrs> = ({ inputs: { h, gate, weight, dy }, attrs: { eps }, backend }) => {
  const [rows, heads, size] = sizesOf(h!);
  if (rows * heads * size === 0) return null;
  const blocks = Math.ceil(rows / ROWS);
  const [dh, dGate, parts] = runWgsl(backend, {
    key: 'mlstm head norm gradient',
    inputs: { h, gate, weight, dy },
    outputs: { dh: { shape: h!.shape }, dGate: { shape: gate!.shape }, parts: { shape: [blocks, heads * size] } },
    u32: { rows, heads, size },
    f32: { eps },
    workgroups: blocks * heads,
    declare,
    main: () => `
    let head = g % u.heads;
    let first = g / u.heads * ${ROWS}u;
    let part = g * u.size;
    for (var row = first; row < min(first + ${ROWS}u, u.rows); row++) {${moments}
    var ownD = 0.0;
    var ownProduct = 0.0;
    for (var j = local; j < u.size; j += 64u) {
      let at = base + j;
      let normed = (h[at] - mean) * r;
      let open = sigmoid(gate[at]);
      let opened = dy[at] * open;
      let w = weight[head * u.size + j];
      ownD += opened * w;
      ownProduct += opened * w * normed;
      dGate[at] = opened * (1.0 - open) * normed * w;
      parts[part + j] = select(parts[part + j], 0.0, row == first) + opened * normed;
    }
    let meanD = sumAll(ownD, local) / f32(u.size);
    let meanProduct = sumAll(ownProduct, local) / f32(u.size);
    for (var j = local; j < u.size; j += 64u) {
      let at = base + j;
      let d = dy[at] * sigmoid(gate[at]) * weight[head * u.size + j];
      dh[at] = r * (d - meanD - (h[at] - mean) * r * meanProduct);
    }
    }`,
  }) as [TensorInfo, TensorInfo, TensorInfo];
  const dWeight = webGpuSum(backend, parts, [1, blocks, heads * size], weight!.shape);
  backend.disposeData(parts.dataId);
  return [dh, dGate, dWeight];
};
