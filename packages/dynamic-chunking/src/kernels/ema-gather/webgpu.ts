import type { FastKernel } from '@bytelm/core';
import { runWgsl } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { emaGradOutputs, type EmaAttrs } from '../ema/portable.js';
import { emaBackward, emaForward } from '../ema/webgpu.js';
import type { EmaGatherGradInput, EmaGatherInput } from './op.js';

/** (B, M + 1): where the positions of each value begin; those of value j end where j + 1 begins. Each thread writes what begins at its position. */
const STARTS = `
  let t = i % u.length;
  let list = i / u.length * (u.values + 1u);
  let to = min(index[i], i32(u.values) - 1);
  var earlier = -1;
  if (t > 0u) { earlier = min(index[i - 1u], i32(u.values) - 1); }
  for (var j = earlier + 1; j <= to; j++) { starts[list + u32(j)] = i32(t); }
  if (t + 1u == u.length) {
    for (var j = to + 1; j <= i32(u.values); j++) { starts[list + u32(j)] = i32(u.length); }
  }`;

function startsOf(backend: KernelBackend, index: TensorInfo, values: number): TensorInfo {
  const [batch, length] = index.shape as [number, number];
  const [starts] = runWgsl(backend, {
    key: 'ema-gather starts',
    inputs: { index },
    outputs: { starts: { shape: [batch, values + 1], dtype: 'int32' } },
    u32: { length, values },
    threads: batch * length,
    main: () => STARTS,
  });
  return starts!;
}

/** dz: for each value the sum over its positions. */
const sums = (type: string): string => `
  let c = i % u.packs;
  let row = i / u.packs;
  let b = row / u.values;
  let list = row + b;
  var total = ${type}(0.0);
  for (var t = u32(starts[list]); t < u32(starts[list + 1u]); t++) { total += dy[(b * u.length + t) * u.packs + c]; }
  dz[i] = total;`;

export const emaGatherWebGpu: FastKernel<EmaGatherInput, EmaAttrs> = ({ inputs: { index, ...inputs }, attrs, backend }) => {
  if (inputs.x!.shape.includes(0) || index!.shape.includes(0)) return null;
  const starts = startsOf(backend, index!, inputs.x!.shape[1]!);
  const [z, y] = emaForward(backend, inputs, attrs, { starts, length: index!.shape[1]! }) as [TensorInfo, TensorInfo];
  backend.disposeData(starts.dataId);
  return [y, z];
};

export const emaGatherGradWebGpu: FastKernel<EmaGatherGradInput, EmaAttrs> = ({ inputs: { index, dy, z, ...inputs }, attrs, backend }) => {
  const { x } = inputs;
  if (x!.shape.includes(0) || index!.shape.includes(0)) return null;
  const [batch, values, channels] = x!.shape as [number, number, number];
  const pack = channels % 4 === 0 ? 4 : 1;
  const type = pack === 4 ? 'vec4f' : 'f32';
  const packs = channels / pack;
  const starts = startsOf(backend, index!, values);
  const [dz] = runWgsl(backend, {
    key: `ema-gather sums x${pack}`,
    inputs: { starts, [`dy: ${type}`]: dy },
    outputs: { [`dz: ${type}`]: { shape: [batch, values, channels] } },
    u32: { length: index!.shape[1]!, values, packs },
    threads: batch * values * packs,
    main: () => sums(type),
  }) as [TensorInfo];
  const grads = emaBackward(backend, inputs, z!, dz, attrs);
  for (const t of [starts, dz]) backend.disposeData(t.dataId);
  return emaGradOutputs((n) => inputs[n] !== undefined).map((_, k) => grads[k]!);
};
