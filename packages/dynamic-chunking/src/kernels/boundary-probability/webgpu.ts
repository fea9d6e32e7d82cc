import type { FastKernel } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { SUM_OF_WORKGROUP } from '../wgsl.js';
import type { RoutingInput } from './portable.js';

function layout({ shape }: TensorInfo) {
  const [rows, width] = shape as [number, number];
  const pack = width % 4 === 0 ? 4 : 1;
  return { rows, pack, packs: width / pack, type: pack === 4 ? 'vec4f' : 'f32' };
}

/** A workgroup has a row: |q|², |k|² and q.k. */
const products = (pack: number): string => {
  const dot = (a: string, b: string) => (pack === 4 ? `dot(${a}, ${b})` : `${a} * ${b}`);
  return `
  var own = vec4f(0.0);
  for (var d = local; d < u.packs; d += 64u) {
    let a = q[g * u.packs + d];
    let b = k[g * u.packs + d];
    own += vec4f(${dot('a', 'a')}, ${dot('b', 'b')}, ${dot('a', 'b')}, 0.0);
  }
  let sums = sumOfWorkgroup(local, own);
  let qNorm = max(sqrt(sums.x), 1e-12);
  let kNorm = max(sqrt(sums.y), 1e-12);`;
};

export const probabilityWebGpu: FastKernel<RoutingInput, object> = ({ inputs: { q, k }, backend }) => {
  const { rows, pack, packs, type } = layout(q!);
  if (rows * packs === 0) return null;
  return runWgsl(backend, {
    key: `boundary probability x${pack}`,
    inputs: { [`q: ${type}`]: q, [`k: ${type}`]: k },
    outputs: { p: { shape: [rows] } },
    u32: { packs },
    workgroups: rows,
    declare: () => SUM_OF_WORKGROUP,
    main: () => `${products(pack)}
  if (local == 0u) { p[g] = clamp(0.5 - 0.5 * (sums.z / qNorm / kNorm), 0.0, 1.0); }`,
  });
};

export const probabilityGradWebGpu: FastKernel<RoutingInput | 'p' | 'dp', object> = ({ inputs: { q, k, p, dp }, backend }) => {
  const { rows, pack, packs, type } = layout(q!);
  if (rows * packs === 0) return null;
  return runWgsl(backend, {
    key: `boundary probability gradient x${pack}`,
    inputs: { [`q: ${type}`]: q, [`k: ${type}`]: k, p, dp },
    outputs: { [`dq: ${type}`]: { shape: q!.shape }, [`dk: ${type}`]: { shape: k!.shape } },
    u32: { packs },
    workgroups: rows,
    declare: () => SUM_OF_WORKGROUP,
    main: () => `${products(pack)}
  let cos = 1.0 - 2.0 * p[g];
  let slope = -0.5 * dp[g];
  for (var d = local; d < u.packs; d += 64u) {
    let at = g * u.packs + d;
    let a = q[at] / qNorm;
    let b = k[at] / kNorm;
    dq[at] = slope * (b - cos * a) / qNorm;
    dk[at] = slope * (a - cos * b) / kNorm;
  }`,
  });
};
