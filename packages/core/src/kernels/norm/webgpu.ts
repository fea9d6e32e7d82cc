import type { FastKernel } from '../../op/define-op.js';
import type { Output } from '../../webgpu/bindings.js';
import { runKernel } from '../../webgpu/kernel.js';
import { reduction, WGSL } from '../../webgpu/snippets.js';
import { f32, u32 } from '../../webgpu/uniforms.js';
import type { GatedNormAttrs, NormAttrs } from './portable.js';
import { columnIndices, eachColumn, normLayout, readsOf, teamOf, total, type NormLayout } from './webgpu-layout.js';

/** The team's number is that of a group of a row, counted through all rows. */
const teamStart = (l: NormLayout): string => `  ${teamOf(l)}
  let ok = team < u.count; let row = min(team, u.count - 1u) * u.size; let column = team % u.groups * u.size;
${columnIndices(l)}`;

const uniformsOf = (l: NormLayout, eps: number) => ({ count: u32(l.rows * l.groups), size: u32(l.size), groups: u32(l.groups), inverse: f32(1 / (l.size * (l.type === 'f32' ? 1 : 4))), eps: f32(eps) });

/** y = x r w with r = 1 / sqrt(mean(x²) + eps); with `residual` of x + residual, which is an output too. Gives y, [sum,] r. */
export const webGpuRmsNorm: FastKernel<'x' | 'residual' | 'weight', NormAttrs> = ({ inputs: { x, residual, weight }, attrs: { eps, groupSize }, backend }) => {
  const l = normLayout(x!.shape, groupSize);
  if (!l || l.rows * l.size === 0) return null;
  const { type } = l;
  const writes: Output[] = [{ name: 'y', type, out: { shape: x!.shape } }, { name: 'rs', type: 'f32', out: { shape: [l.rows, l.groups] } }];
  if (residual) writes.splice(1, 0, { name: 'total', type, out: { shape: x!.shape } });
  return runKernel(backend, {
    key: `rms norm ${type} ${l.lanes} x ${l.columns}${residual ? ' of a sum' : ''}`,
    reads: readsOf(l, { x, weight, residual }),
    writes,
    uniforms: uniformsOf(l, eps),
    groups: Math.ceil((l.rows * l.groups) / l.teams),
    threads: l.threads,
    functions: () => reduction('rowSum', l.threads, { lanes: l.lanes }),
    body: () => `${teamStart(l)}
${eachColumn(l, (c) => `let v${c} = select(${type}(), x[row + j${c}]${residual ? ` + residual[row + j${c}]` : ''}, in${c});`)}
  var squares = 0.0;
${eachColumn(l, (c) => `squares += ${total(l, `v${c} * v${c}`)};`)}
  let r = inverseSqrt(rowSum(squares, t) * u.inverse + u.eps);
  if (!ok) { return; }
${eachColumn(l, (c) => `if (in${c}) { y[row + j${c}] = v${c} * r * weight[column + j${c}];${residual ? ` total[row + j${c}] = v${c};` : ''} }`)}
  if (lane == 0u) { rs[team] = r; }`,
  });
};

/** y = rms(x silu(gate)) w, or rms(x) w silu(gate). */
export const webGpuGatedRmsNorm: FastKernel<'x' | 'gate' | 'weight', GatedNormAttrs> = ({ inputs: { x, gate, weight }, attrs: { eps, groupSize, normBeforeGate }, backend }) => {
  const l = normLayout(x!.shape, groupSize);
  if (!l || l.rows * l.size === 0) return null;
  const { type, suffix } = l;
  return runKernel(backend, {
    key: `gated norm ${type} ${l.lanes} x ${l.columns}${normBeforeGate ? ' norm first' : ''}`,
    reads: readsOf(l, { x, gate, weight }),
    writes: [{ name: 'y', type, out: { shape: x!.shape } }],
    uniforms: uniformsOf(l, eps),
    groups: Math.ceil((l.rows * l.groups) / l.teams),
    threads: l.threads,
    functions: () => WGSL.activations + reduction('rowSum', l.threads, { lanes: l.lanes }),
    body: () => `${teamStart(l)}
${eachColumn(l, (c) => `let s${c} = silu${suffix}(gate[row + j${c}]); let v${c} = select(${type}(), x[row + j${c}]${normBeforeGate ? '' : ` * s${c}`}, in${c});`)}
  var squares = 0.0;
${eachColumn(l, (c) => `squares += ${total(l, `v${c} * v${c}`)};`)}
  let r = inverseSqrt(rowSum(squares, t) * u.inverse + u.eps);
  if (!ok) { return; }
${eachColumn(l, (c) => `if (in${c}) { y[row + j${c}] = v${c} * r * weight[column + j${c}]${normBeforeGate ? ` * s${c}` : ''}; }`)}`,
  });
};
