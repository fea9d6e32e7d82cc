import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel } from '../../op/define-op.js';
import { runEach, vectorOf } from '../../webgpu/kernel.js';
import { u32 } from '../../webgpu/uniforms.js';
import { sizeOf } from '../host.js';
import type { PartName, SplitAttrs } from './op.js';

/** Values are copied as bits: small integers are subnormal floats, which a GPU may take for zero. */
const bitsOf = (...sizes: number[]) => {
  const { per } = vectorOf(...sizes);
  return { per, type: per === 4 ? ('vec4u' as const) : ('u32' as const) };
};

const startOf = (sizes: readonly number[], part: number) => sizes.slice(0, part).reduce((a, b) => a + b, 0);

/** Each part by a copy of its own: parts are few, and a dispatch may bind only so many tensors. */
export const splitWebGpu: FastKernel<'x', SplitAttrs> = ({ inputs: { x }, attrs: { sizes }, backend }) => {
  const lead = x!.shape.slice(0, -1);
  const rows = sizeOf(lead);
  const width = x!.shape[lead.length]!;
  if (rows === 0) return null;
  return sizes.map((size, part) => {
    const start = startOf(sizes, part);
    const { type, per } = bitsOf(size, start, width);
    return runEach(backend, (rows * size) / per, {
      key: `take columns ${type}`,
      reads: [{ name: 'x', type, tensor: x! }],
      writes: [{ name: 'y', type, out: { shape: [...lead, size], dtype: x!.dtype } }],
      uniforms: { width: u32(width / per), start: u32(start / per), size: u32(size / per) },
      body: () => '  y[i] = x[i / u.size * u.width + u.start + i % u.size];',
    })[0]!;
  });
};

export const joinWebGpu: FastKernel<PartName, SplitAttrs> = ({ inputs, attrs: { sizes }, backend }) => {
  const first = inputs.part0!;
  const lead = first.shape.slice(0, -1);
  const rows = sizeOf(lead);
  const width = startOf(sizes, sizes.length);
  if (rows === 0) return null;
  let joined: TensorInfo | { shape: number[]; dtype: TensorInfo['dtype'] } = { shape: [...lead, width], dtype: first.dtype };
  sizes.forEach((size, part) => {
    const start = startOf(sizes, part);
    const { type, per } = bitsOf(size, start, width);
    [joined] = runEach(backend, (rows * size) / per, {
      key: `put columns ${type}`,
      reads: [{ name: 'x', type, tensor: inputs[`part${part}`]! }],
      writes: [{ name: 'y', type, out: joined }],
      uniforms: { width: u32(width / per), start: u32(start / per), size: u32(size / per) },
      body: () => '  y[i / u.size * u.width + u.start + i % u.size] = x[i];',
    }) as [TensorInfo];
  });
  return [joined as TensorInfo];
};
