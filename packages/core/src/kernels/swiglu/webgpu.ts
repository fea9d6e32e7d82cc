import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel } from '../../op/define-op.js';
import { runEach, vectorOf } from '../../webgpu/kernel.js';
import { WGSL } from '../../webgpu/snippets.js';
import { u32 } from '../../webgpu/uniforms.js';
import { sizeOf } from '../host.js';

type Named = Record<string, TensorInfo>;

/**
 * A function of single values, four at a time where that comes out even.
 * @param text statements that write the outputs, with `$` for the suffix of functions on vectors.
 */
function elementwise(backend: KernelBackend, key: string, inputs: Named, outputs: readonly string[], text: string): TensorInfo[] | null {
  const shape = Object.values(inputs)[0]!.shape;
  const size = sizeOf(shape);
  if (size === 0) return null;
  const { type, per, suffix } = vectorOf(size);
  return runEach(backend, size / per, {
    key: `${key} ${type}`,
    reads: Object.entries(inputs).map(([name, tensor]) => ({ name, type, tensor })),
    writes: outputs.map((name) => ({ name, type, out: { shape } })),
    uniforms: {},
    functions: () => WGSL.activations,
    body: () => text.replaceAll('$', suffix),
  });
}

export const webGpuSilu: FastKernel<'x', object> = ({ inputs: { x }, backend }) => elementwise(backend, 'silu', { x: x! }, ['y'], '  y[i] = silu$(x[i]);');

/** silu' = sig (1 - s) + s with s = x sig: no intermediate overflows. */
const SLOPES = (gate: string, up: string, dy: string) => `  let z = ${gate}; let g = ${dy}; let sig = sigmoid$(z); let s = z * sig;
  let dgate = g${up} * (sig * (1.0 - s) + s);`;

export const webGpuSiluGrad: FastKernel<'x' | 'dy', object> = ({ inputs: { x, dy }, backend }) =>
  elementwise(backend, 'silu gradient', { x: x!, dy: dy! }, ['dx'], `${SLOPES('x[i]', '', 'dy[i]')} dx[i] = dgate;`);

export const webGpuSwiglu: FastKernel<'gate' | 'up', object> = ({ inputs: { gate, up }, backend }) =>
  elementwise(backend, 'swiglu', { gate: gate!, up: up! }, ['y'], '  y[i] = swiglu$(gate[i], up[i]);');

export const webGpuSwigluGrad: FastKernel<'gate' | 'up' | 'dy', object> = ({ inputs: { gate, up, dy }, backend }) =>
  elementwise(backend, 'swiglu gradient', { gate: gate!, up: up!, dy: dy! }, ['dg', 'du'], `${SLOPES('gate[i]', ' * up[i]', 'dy[i]')} dg[i] = dgate; du[i] = g * s;`);

/** Both halves beside each other in rows of `packed`. */
function halves(packed: TensorInfo, gateFirst: boolean) {
  const lead = packed.shape.slice(0, -1);
  const width = packed.shape[lead.length]! / 2;
  const { type, per, suffix } = vectorOf(width);
  return {
    lead,
    width,
    count: (sizeOf(lead) * width) / per,
    type,
    suffix,
    uniforms: { width: u32(width / per) },
    start: `  let first = i / u.width * 2u * u.width + i % u.width; let gateAt = first${gateFirst ? '' : ' + u.width'}; let upAt = first${gateFirst ? ' + u.width' : ''};`,
    key: `${type}${gateFirst ? ' gate first' : ''}`,
  };
}

export const webGpuSplitSwiglu: FastKernel<'packed', { gateFirst: boolean }> = ({ inputs: { packed }, attrs: { gateFirst }, backend }) => {
  const { lead, width, count, type, suffix, uniforms, start, key } = halves(packed!, gateFirst);
  if (count === 0) return null;
  return runEach(backend, count, {
    key: `split swiglu ${key}`,
    reads: [{ name: 'packed', type, tensor: packed! }],
    writes: [{ name: 'y', type, out: { shape: [...lead, width] } }],
    uniforms,
    functions: () => WGSL.activations,
    body: () => `${start}\n  y[i] = swiglu${suffix}(packed[gateAt], packed[upAt]);`,
  });
};

export const webGpuSplitSwigluGrad: FastKernel<'packed' | 'dy', { gateFirst: boolean }> = ({ inputs: { packed, dy }, attrs: { gateFirst }, backend }) => {
  const { count, type, suffix, uniforms, start, key } = halves(packed!, gateFirst);
  if (count === 0) return null;
  return runEach(backend, count, {
    key: `split swiglu gradient ${key}`,
    reads: [{ name: 'packed', type, tensor: packed! }, { name: 'dy', type, tensor: dy! }],
    writes: [{ name: 'd', type, out: { shape: packed!.shape } }],
    uniforms,
    functions: () => WGSL.activations,
    body: () => `${start}\n${SLOPES('packed[gateAt]', ' * packed[upAt]', 'dy[i]').replaceAll('$', suffix)}\n  d[gateAt] = dgate; d[upAt] = g * s;`,
  });
};
