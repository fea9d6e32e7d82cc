import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel } from '../../op/define-op.js';
import type { Binding, Output } from '../../webgpu/bindings.js';
import { runKernel } from '../../webgpu/kernel.js';
import { reduction, WGSL } from '../../webgpu/snippets.js';
import { webGpuSum } from '../../webgpu/sum.js';
import { f32, u32 } from '../../webgpu/uniforms.js';
import type { GatedNormAttrs, NormAttrs } from './portable.js';
import { columnIndices, eachColumn, normLayout, readsOf, teamOf, total, type NormLayout } from './webgpu-layout.js';

/** Rows that a team takes one after the other, adding up the weight's gradient in registers. */
const ROWS = 16;

interface GradKernel {
  key: string;
  reads: Binding[];
  /** Beside the partial sums of dw. */
  writes: Output[];
  eps: number;
  functions: string;
  /** WGSL for one row at `row`: stores under `ok && in<c>`, leaves each column's part of dw in `p<c>`. `r` and sums come from `rowSum`. */
  row: string;
}

/** Runs the rows of a gradient and sums dw: a workgroup has teams, a team one group of the row and ROWS rows. */
function runGrad(backend: KernelBackend, l: NormLayout, weight: TensorInfo, kernel: GradKernel): TensorInfo[] {
  const blocks = Math.ceil(l.rows / ROWS);
  const width = weight.shape[0]!;
  const outputs = runKernel(backend, {
    key: `${kernel.key} ${l.type} ${l.lanes} x ${l.columns}`,
    reads: kernel.reads,
    writes: [...kernel.writes, { name: 'part', type: l.type, out: { shape: [blocks, width] } }],
    uniforms: { rows: u32(l.rows), blocks: u32(blocks), size: u32(l.size), groups: u32(l.groups), inverse: f32(l.groups / width), eps: f32(kernel.eps) },
    groups: Math.ceil((blocks * l.groups) / l.teams),
    threads: l.threads,
    functions: () => kernel.functions + reduction('rowSum', l.threads, { lanes: l.lanes, type: 'vec2f' }),
    body: () => `  ${teamOf(l)}
  let g = team % u.groups; let block = team / u.groups; let column = g * u.size;
${columnIndices(l)}
${eachColumn(l, (c) => `let w${c} = weight[column + j${c}]; var dw${c} = ${l.type}();`)}
  for (var i = 0u; i < ${ROWS}u; i++) {
    let at = block * ${ROWS}u + i; let ok = at < u.rows; let unit = min(at, u.rows - 1u) * u.groups + g; let row = unit * u.size;
${kernel.row}
    if (ok) {
${eachColumn(l, (c) => `dw${c} += p${c};`)}
    }
  }
  if (block < u.blocks) {
${eachColumn(l, (c) => `if (in${c}) { part[(block * u.groups + g) * u.size + j${c}] = dw${c}; }`)}
  }`,
  });
  const part = outputs.pop()!;
  if (blocks === 1) return [...outputs, { ...part, shape: [width] }];
  const dw = webGpuSum(backend, part, [1, blocks, width], [width]);
  backend.disposeData(part.dataId);
  return [...outputs, dw];
}

/** With n = x r: dx = r (dy w - n mean(dy w n)) + extra, dw = Σ dy n. */
export const webGpuRmsNormGrad: FastKernel<'x' | 'weight' | 'r' | 'dy' | 'extra', NormAttrs> = ({ inputs: { x, weight, r, dy, extra }, attrs: { groupSize }, backend }) => {
  const l = normLayout(x!.shape, groupSize);
  if (!l || l.rows * l.size === 0) return null;
  const { type } = l;
  return runGrad(backend, l, weight!, {
    key: `rms norm gradient${extra ? ' and more' : ''}`,
    reads: [...readsOf(l, { x, weight, dy }), { name: 'rs', type: 'f32', tensor: r! }, ...readsOf(l, { extra })],
    writes: [{ name: 'dx', type, out: { shape: x!.shape } }],
    eps: 0,
    functions: '',
    row: `    let r = rs[unit];
${eachColumn(l, (c) => `let n${c} = select(${type}(), x[row + j${c}] * r, in${c}); let d${c} = dy[row + j${c}]; let p${c} = d${c} * n${c};`)}
    var sum = 0.0;
${eachColumn(l, (c) => `sum += ${total(l, `p${c} * w${c}`)};`)}
    let mean = rowSum(vec2f(sum, 0.0), t).x * u.inverse;
${eachColumn(l, (c) => `if (ok && in${c}) { dx[row + j${c}] = r * (d${c} * w${c} - n${c} * mean)${extra ? ` + extra[row + j${c}]` : ''}; }`)}`,
  });
};

/** dx, dgate, dw; the gate inside the norm (a = x silu(gate), y = rms(a) w) or behind it. */
export const webGpuGatedRmsNormGrad: FastKernel<'x' | 'gate' | 'weight' | 'dy', GatedNormAttrs> = ({ inputs: { x, gate, weight, dy }, attrs: { eps, groupSize, normBeforeGate }, backend }) => {
  const l = normLayout(x!.shape, groupSize);
  if (!l || l.rows * l.size === 0) return null;
  const { type, suffix } = l;
  // a: what is normalized; d: the gradient of a r w.
  const [normed, behind] = normBeforeGate ? ['', ' * s'] : [' * s', ''];
  return runGrad(backend, l, weight!, {
    key: `gated norm gradient${normBeforeGate ? ' norm first' : ''}`,
    reads: readsOf(l, { x, gate, weight, dy }),
    writes: [{ name: 'dx', type, out: { shape: x!.shape } }, { name: 'dgate', type, out: { shape: x!.shape } }],
    eps,
    functions: WGSL.activations,
    row: `${eachColumn(l, (c) => `let z${c} = gate[row + j${c}]; let sig${c} = sigmoid${suffix}(z${c}); let s${c} = z${c} * sig${c}; let x${c} = x[row + j${c}]; let dy${c} = dy[row + j${c}];
    let a${c} = select(${type}(), x${c}${normed && `${normed}${c}`}, in${c}); let d${c} = dy${c}${behind && `${behind}${c}`};`)}
    var sums = vec2f();
${eachColumn(l, (c) => `sums += vec2f(${total(l, `a${c} * a${c}`)}, ${total(l, `a${c} * d${c} * w${c}`)});`)}
    let means = rowSum(sums, t) * u.inverse;
    let r = inverseSqrt(means.x + u.eps); let mean = r * r * means.y;
${eachColumn(l, (c) => {
      const da = `r * (d${c} * w${c} - a${c} * mean)`;
      const slope = `(sig${c} * (1.0 - s${c}) + s${c})`;
      const [dx, dz] = normBeforeGate ? [da, `dy${c} * a${c} * r * w${c} * ${slope}`] : [`${da} * s${c}`, `${da} * x${c} * ${slope}`];
      return `let p${c} = d${c} * a${c} * r; if (ok && in${c}) { dx[row + j${c}] = ${dx}; dgate[row + j${c}] = ${dz}; }`;
    })}`,
  });
};
