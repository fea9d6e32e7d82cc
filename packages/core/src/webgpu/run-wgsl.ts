import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { Binding, Output } from './bindings.js';
import { runMain } from './kernel.js';
import { f32, u32, type Uniforms } from './uniforms.js';

/** A kernel whose tensors come by name, some of them optional; {@link runWgsl} writes the declarations. */
export interface WgslKernel {
  /** Names the text; which tensors are there is added. */
  key: string;
  /** Tensors read, by name: f32, or i32 for int32 and bool. `'x: vec4f'` reads x four values at a time. `undefined` is left out. */
  inputs: { readonly [name: string]: TensorInfo | undefined };
  /** Tensors written: new ones, or existing ones that are changed in place. */
  outputs: { readonly [name: string]: TensorInfo | { shape: readonly number[]; dtype?: DataType } | undefined };
  /** Members of the uniform struct `u`. */
  u32?: { readonly [name: string]: number };
  f32?: { readonly [name: string]: number };
  /** Threads of a workgroup. Default 64. */
  group?: number;
  /** So many threads run `main`, numbered `i`. */
  threads?: number;
  /** Or so many workgroups, numbered `g`; their threads are `local`, and barriers are allowed. */
  workgroups?: number;
  /** Functions and workgroup memory. */
  declare?: () => string;
  /** Statements of the kernel; `has(name)` tells which tensors are there. */
  main: (has: (name: string) => boolean) => string;
}

/**
 * Runs a kernel on tfjs' WebGPU backend; its text is made when its pipeline is compiled.
 * @returns the outputs that are there, in order.
 * @throws BackendError beyond the limits of the device.
 */
export function runWgsl(backend: KernelBackend, kernel: WgslKernel): TensorInfo[] {
  const { threads, workgroups, group = 64, declare, main } = kernel;
  const reads = present(kernel.inputs).map(([name, tensor]): Binding => ({ ...named(name, tensor.dtype), tensor }));
  const writes = present(kernel.outputs).map(([name, out]): Output => ({ ...named(name, out.dtype), out }));
  const names = [...reads, ...writes].map((t) => t.name);
  const uniforms: Uniforms = { count: u32(threads ?? workgroups!) };
  for (const [name, value] of Object.entries(kernel.u32 ?? {})) uniforms[name] = u32(value);
  for (const [name, value] of Object.entries(kernel.f32 ?? {})) uniforms[name] = f32(value);
  const [index, number] = threads === undefined ? ['g = w.x + w.y * grid.x', 'g'] : [`i = (w.x + w.y * grid.x) * ${group}u + local`, 'i'];
  return runMain(
    backend,
    {
      key: `${kernel.key}: ${names.join()}`,
      reads,
      writes,
      uniforms,
      groups: threads === undefined ? workgroups! : Math.ceil(threads / group),
      functions: () => declare?.() ?? '',
      body: () => main((name) => names.includes(name)).replace(/^\n/, '').trimEnd(),
    },
    (body) => `
@compute @workgroup_size(${group})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let ${index};
  if (${number} >= u.count) { return; }
${body}
}`,
  );
}

const present = <T>(byName: { readonly [name: string]: T | undefined }) => Object.entries(byName).filter((e): e is [string, T] => e[1] !== undefined);

/** `'x: vec4f'` or `'x'`. */
function named(text: string, dtype: DataType | undefined): Pick<Binding, 'name' | 'type'> {
  const [name, type] = text.split(/:\s*/) as [string, Binding['type']?];
  return { name, type: type ?? (dtype === 'int32' || dtype === 'bool' ? 'i32' : 'f32') };
}
