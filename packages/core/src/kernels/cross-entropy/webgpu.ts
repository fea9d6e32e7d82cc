import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel } from '../../op/define-op.js';
import { runKernel, vectorOf } from '../../webgpu/kernel.js';
import { reduction } from '../../webgpu/snippets.js';
import { f32, i32, u32, type Uniforms } from '../../webgpu/uniforms.js';
import type { CrossEntropyAttrs } from './labels.js';

/** How rows of `classes` logits are dealt to threads: `lanes` to a row. */
function layout(classes: number) {
  const { type, per } = vectorOf(classes);
  let lanes = 16;
  while (lanes < 256 && lanes * 4 < classes / per) lanes *= 2;
  const threads = Math.max(64, lanes);
  return { type, per, lanes, threads, teams: threads / lanes, name: `${type} ${lanes}` };
}
type Layout = ReturnType<typeof layout>;

const uniformsOf = (rows: number, classes: number, firstRow: number, { per }: Layout, { ignoreIndex, zLoss }: CrossEntropyAttrs): Uniforms => ({
  rows: u32(rows),
  firstRow: u32(firstRow),
  classes: u32(classes),
  vectors: u32(classes / per),
  ignored: i32(ignoreIndex),
  zLoss: f32(zLoss),
});

/** Maximum m and sum s of exp(x - m) of a row, in one pass: pairs are joined by the larger maximum. */
const normalizer = ({ threads, lanes }: Layout) =>
  reduction('joinRow', threads, { type: 'vec2f', lanes, join: 'vec2f(max(x.x, y.x), x.y * exp(x.x - max(x.x, y.x)) + y.y * exp(y.x - max(x.x, y.x)))' });

/** WGSL that leaves the log of the normalizer in `lse`; logits come from `x`, labels from `labels`. */
const rowStart = ({ type, lanes, teams }: Layout, x: string) => {
  const top = type === 'f32' ? 'v' : 'max(max(v.x, v.y), max(v.z, v.w))';
  const sum = type === 'f32' ? 'exp(v - next)' : 'dot(exp(v - next), vec4f(1.0))';
  return `  let lane = t % ${lanes}u; let team = group * ${teams}u + t / ${lanes}u;
  let ok = team < u.rows; let row = min(team, u.rows - 1u); let start = row * u.vectors;
  var own = vec2f(-1e30, 0.0);
  for (var i = lane; i < u.vectors; i += ${lanes}u) {
    let v = ${x}[start + i];
    let next = max(own.x, ${top});
    own = vec2f(next, own.y * exp(own.x - next) + ${sum});
  }
  let joined = joinRow(own, t);
  let lse = joined.x + log(joined.y);
  let label = labels[u.firstRow + row];`;
};

/** Loss of each row of logits (rows, V) into `losses` from `firstRow` on; 0 where the label says to ignore it. */
export function rowLosses(backend: KernelBackend, logits: TensorInfo, labels: TensorInfo, losses: TensorInfo | { shape: number[] }, firstRow: number, attrs: CrossEntropyAttrs): TensorInfo {
  const [rows, classes] = logits.shape as [number, number];
  const l = layout(classes);
  const picked = l.per === 1 ? 'logits[start + at]' : 'logits[start + at / 4u][at % 4u]';
  return runKernel(backend, {
    key: `cross-entropy ${l.name}`,
    reads: [{ name: 'logits', type: l.type, tensor: logits }, { name: 'labels', type: 'i32', tensor: labels }],
    writes: [{ name: 'losses', type: 'f32', out: losses }],
    uniforms: uniformsOf(rows, classes, firstRow, l, attrs),
    groups: Math.ceil(rows / l.teams),
    threads: l.threads,
    functions: () => normalizer(l),
    body: () => `${rowStart(l, 'logits')}
  if (!ok || lane != 0u) { return; }
  let at = min(u32(max(label, 0)), u.classes - 1u);
  losses[u.firstRow + row] = select(lse - ${picked} + u.zLoss * lse * lse, 0.0, label == u.ignored);`,
  })[0]!;
}

/** Replaces logits (rows, V) by their gradient: scale · (softmax (1 + 2 z lse) − onehot); the scale is dloss of the row, or one for all over the count. */
export function logitGradient(backend: KernelBackend, logits: TensorInfo, out: TensorInfo | { shape: number[] }, labels: TensorInfo, dloss: TensorInfo, count: TensorInfo | undefined, firstRow: number, attrs: CrossEntropyAttrs): TensorInfo {
  const [rows, classes] = logits.shape as [number, number];
  const l = layout(classes);
  const inPlace = out === logits;
  const from = inPlace ? 'd' : 'logits';
  const hot = l.per === 1 ? 'select(0.0, 1.0, i == hot)' : 'select(vec4f(), vec4f(1.0), vec4u(i * 4u) + vec4u(0u, 1u, 2u, 3u) == vec4u(hot))';
  return runKernel(backend, {
    key: `cross-entropy gradient ${l.name}${inPlace ? ' in place' : ''}${count ? ' mean' : ''}`,
    reads: [
      ...(inPlace ? [] : [{ name: 'logits', type: l.type, tensor: logits }]),
      { name: 'labels', type: 'i32', tensor: labels },
      { name: 'dloss', type: 'f32', tensor: dloss },
      ...(count ? [{ name: 'counted', type: 'f32' as const, tensor: count }] : []),
    ],
    writes: [{ name: 'd', type: l.type, out }],
    uniforms: uniformsOf(rows, classes, firstRow, l, attrs),
    groups: Math.ceil(rows / l.teams),
    threads: l.threads,
    functions: () => normalizer(l),
    body: () => `${rowStart(l, from)}
  if (!ok) { return; }
  let scale = select(${count ? 'dloss[0] / counted[0]' : 'dloss[u.firstRow + row]'}, 0.0, label == u.ignored);
  let share = 1.0 + 2.0 * u.zLoss * lse; let hot = u32(label);
  for (var i = lane; i < u.vectors; i += ${l.lanes}u) {
    d[start + i] = scale * (exp(${from}[start + i] - lse) * share - ${hot});
  }`,
  })[0]!;
}

const THREADS = 256;

/** One number of all rows: how many count (at least 1), or the mean of their losses. */
export function overRows(backend: KernelBackend, labels: TensorInfo, losses: TensorInfo | undefined, { ignoreIndex }: CrossEntropyAttrs): TensorInfo {
  return runKernel(backend, {
    key: losses ? 'mean loss' : 'rows that count',
    reads: [{ name: 'labels', type: 'i32', tensor: labels }, ...(losses ? [{ name: 'losses', type: 'f32' as const, tensor: losses }] : [])],
    writes: [{ name: 'y', type: 'f32', out: { shape: [] } }],
    uniforms: { rows: u32(labels.shape[0]!), ignored: i32(ignoreIndex) },
    groups: 1,
    threads: THREADS,
    functions: () => reduction('rowSum', THREADS, { type: 'vec2f' }),
    body: () => `  var own = vec2f();
  for (var i = t; i < u.rows; i += ${THREADS}u) { own += vec2f(${losses ? 'losses[i]' : '0.0'}, select(1.0, 0.0, labels[i] == u.ignored)); }
  let all = rowSum(own, t);
  if (group == 0u && t == 0u) { y[0] = ${losses ? 'all.x / max(all.y, 1.0)' : 'max(all.y, 1.0)'}; }`,
  })[0]!;
}

export const webGpuCrossEntropy: FastKernel<'logits' | 'labels', CrossEntropyAttrs> = ({ inputs: { logits, labels }, attrs, backend }) => {
  const [rows, classes] = logits!.shape as [number, number];
  if (rows * classes === 0) return null;
  const losses = rowLosses(backend, logits!, labels!, { shape: [rows] }, 0, attrs);
  if (!attrs.isMean) return [losses];
  const mean = overRows(backend, labels!, losses, attrs);
  backend.disposeData(losses.dataId);
  return [mean];
};

export const webGpuCrossEntropyGrad: FastKernel<'logits' | 'labels' | 'dloss', CrossEntropyAttrs> = ({ inputs: { logits, labels, dloss }, attrs, backend }) => {
  const [rows, classes] = logits!.shape as [number, number];
  if (rows * classes === 0) return null;
  const count = attrs.isMean ? overRows(backend, labels!, undefined, attrs) : undefined;
  const d = logitGradient(backend, logits!, { shape: [rows, classes] }, labels!, dloss!, count, 0, attrs);
  if (count) backend.disposeData(count.dataId);
  return [d];
};
