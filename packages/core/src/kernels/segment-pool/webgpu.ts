import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel } from '../../op/define-op.js';
import { runEach } from '../../webgpu/kernel.js';
import { webGpuRuns } from '../../webgpu/runs.js';
import { u32 } from '../../webgpu/uniforms.js';
import type { PoolMode, SegmentPoolAttrs } from './naive.js';

/** The segment of a row, counted through all sequences; `none` where it has none. */
const KEY = 'select(u.none, j / u.length * u.num + ids[j], ids[j] < u.num)';

/** First row and end of each segment, (B·num, 2). */
function runsOf(backend: KernelBackend, ids: TensorInfo, num: number): TensorInfo {
  const [batch, length] = ids.shape as [number, number];
  const uniforms = { none: u32(batch * num), length: u32(length), num: u32(num) };
  return webGpuRuns(backend, batch * length, batch * num, 'segments', [{ name: 'ids', type: 'u32', tensor: ids }], uniforms, KEY);
}

/** WGSL that visits the rows `j` of the segment of output value `i`; ignored rows may stand between them. */
const eachRow = (body: string) => `for (var j = start; j < end; j++) { if (ids[j] != own) { continue; } ${body} }`;
const START = '  let segment = i / u.width; let own = segment % u.num; let d = i % u.width; let start = runs[2u * segment]; let end = runs[2u * segment + 1u];';
const BEST: Partial<Record<PoolMode, string>> = { max: 'max', min: 'min' };

export const webGpuSegmentPool: FastKernel<'x' | 'ids', SegmentPoolAttrs> = ({ inputs: { x, ids }, attrs: { num, mode }, backend }) => {
  const [batch, length, width] = x!.shape as [number, number, number];
  if (batch * length * width * num === 0) return null;
  const runs = runsOf(backend, ids!, num);
  const best = BEST[mode];
  const bodies: Record<PoolMode, string> = {
    sum: `var s = 0.0; ${eachRow('s += x[j * u.width + d];')} y[i] = s;`,
    mean: `var s = 0.0; var c = 0.0; ${eachRow('s += x[j * u.width + d]; c += 1.0;')} y[i] = s / max(c, 1.0);`,
    max: '',
    min: '',
    // The ends of a run are rows of it.
    first: 'y[i] = select(0.0, x[start * u.width + d], end > start);',
    last: 'y[i] = select(0.0, x[(max(end, 1u) - 1u) * u.width + d], end > start);',
  };
  if (best) bodies[mode] = `var s = select(0.0, x[start * u.width + d], end > start); ${eachRow(`s = ${best}(s, x[j * u.width + d]);`)} y[i] = s;`;
  const outputs = runEach(backend, batch * num * width, {
    key: `segment ${mode}`,
    reads: [{ name: 'x', type: 'f32', tensor: x! }, { name: 'ids', type: 'u32', tensor: ids! }, { name: 'runs', type: 'u32', tensor: runs }],
    writes: [{ name: 'y', type: 'f32', out: { shape: [batch, num, width] } }],
    uniforms: { width: u32(width), num: u32(num) },
    body: () => `${START}\n  ${bodies[mode]}`,
  });
  backend.disposeData(runs.dataId);
  return outputs;
};

/** The gradient of each row, from its segment's: all of it, its share, or that of the ties. */
export const webGpuSegmentPoolGrad: FastKernel<'x' | 'ids' | 'y' | 'dy', SegmentPoolAttrs> = ({ inputs: { x, ids, y, dy }, attrs: { num, mode }, backend }) => {
  const [batch, length, width] = x!.shape as [number, number, number];
  if (batch * length * width * num === 0) return null;
  const runs = runsOf(backend, ids!, num);
  const best = Boolean(BEST[mode]);
  const bodies: Record<PoolMode, string> = {
    sum: eachRow('dx[j * u.width + d] = dy[i];'),
    mean: `var c = 0.0; ${eachRow('c += 1.0;')} ${eachRow('dx[j * u.width + d] = dy[i] / c;')}`,
    max: '',
    min: '',
    first: eachRow('dx[j * u.width + d] = select(0.0, dy[i], j == start);'),
    last: eachRow('dx[j * u.width + d] = select(0.0, dy[i], j + 1u == end);'),
  };
  if (best) bodies[mode] = `var ties = 0.0; ${eachRow('if (x[j * u.width + d] == y[i]) { ties += 1.0; }')}
  ${eachRow('dx[j * u.width + d] = select(0.0, dy[i] / ties, x[j * u.width + d] == y[i]);')}`;
  const reads = [{ name: 'ids', type: 'u32' as const, tensor: ids! }];
  const outside = runEach(backend, batch * length * width, {
    key: 'rows without a segment',
    reads,
    writes: [{ name: 'dx', type: 'f32', out: { shape: x!.shape } }],
    uniforms: { width: u32(width), num: u32(num) },
    body: () => '  if (ids[i / u.width] >= u.num) { dx[i] = 0.0; }',
  });
  runEach(backend, batch * num * width, {
    key: `segment ${mode} gradient`,
    reads: [
      ...reads,
      { name: 'runs', type: 'u32', tensor: runs },
      { name: 'dy', type: 'f32', tensor: dy! },
      ...(best ? [{ name: 'x', type: 'f32' as const, tensor: x! }, { name: 'y', type: 'f32' as const, tensor: y! }] : []),
    ],
    writes: [{ name: 'dx', type: 'f32', out: outside[0]! }],
    uniforms: { width: u32(width), num: u32(num) },
    body: () => `${START}\n  ${bodies[mode]}`,
  });
  backend.disposeData(runs.dataId);
  return outside;
};
