import type { FastKernel } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import { SUM_OF_WORKGROUP } from '../wgsl.js';

export const gateGradWebGpu: FastKernel<'u' | 'mask' | 'dy', object> = ({ inputs: { u, mask, dy }, backend }) => {
  const [batch, length, width] = u!.shape as [number, number, number];
  if (batch * length * width === 0) return null;
  const pack = width % 4 === 0 ? 4 : 1;
  const type = pack === 4 ? 'vec4f' : 'f32';
  const packs = width / pack;
  return runWgsl(backend, {
    key: `confidence gate gradient x${pack}`,
    inputs: { [`x: ${type}`]: u, mask, [`dy: ${type}`]: dy },
    outputs: { dp: { shape: [batch, length] } },
    u32: { packs },
    workgroups: batch * length,
    declare: () => SUM_OF_WORKGROUP,
    main: () => `
  var own = 0.0;
  for (var d = local; d < u.packs; d += 64u) {
    let at = g * u.packs + d;
    own += ${pack === 4 ? 'dot(dy[at], x[at])' : 'dy[at] * x[at]'};
  }
  let sum = sumOfWorkgroup(local, vec4f(own, 0.0, 0.0, 0.0)).x;
  if (local == 0u) { dp[g] = sum * (2.0 * mask[g] - 1.0); }`,
  });
};
