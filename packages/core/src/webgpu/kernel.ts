import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, workgroupGrid } from '../backend/webgpu-dispatch.js';
import { bindingText, type Binding, type Output } from './bindings.js';
import { mainOf } from './snippets.js';
import { uniformData, uniformText, type Uniforms } from './uniforms.js';

/** A kernel whose workgroups are counted in one row. */
export interface RowKernel {
  /** Names the text. */
  key: string;
  reads: readonly Binding[];
  writes: readonly Output[];
  uniforms: Uniforms;
  /** How many workgroups; `group` of the text goes beyond, where the grid is folded. */
  groups: number;
  threads: number;
  /** WGSL at module scope, and the body of `main`, which knows `group`, `t` and `u`. */
  functions?: () => string;
  body: () => string;
}

/** Runs it. @returns what it writes, in order. */
export const runKernel = (backend: KernelBackend, kernel: RowKernel): TensorInfo[] => runMain(backend, kernel, (body) => mainOf(kernel.threads, body));

/** Runs it with `main` (from a line's end on) made of its body: declarations before, the call itself, in one place for all kernels that are a text. */
export function runMain(backend: KernelBackend, { key, reads, writes, uniforms, groups, functions, body }: Omit<RowKernel, 'threads'>, main: (body: string) => string): TensorInfo[] {
  return dispatchWebGpu(backend, {
    key,
    code: () => `${uniformText(uniforms, reads.length + writes.length)}\n${bindingText(reads, writes)}\n${functions?.() ?? ''}${main(body())}`,
    inputs: reads.map((r) => r.tensor),
    outputs: writes.map((w) => w.out),
    uniforms: uniformData(uniforms),
    workgroups: workgroupGrid(backend, groups),
  });
}

/** Threads of a kernel that has one for each value. */
const GROUP = 256;

/** A kernel with a thread for each of `count` values (or vectors): the body knows `i`. */
export function runEach(backend: KernelBackend, count: number, kernel: Omit<RowKernel, 'groups' | 'threads'>): TensorInfo[] {
  const { body } = kernel;
  return runKernel(backend, {
    ...kernel,
    uniforms: { count: { type: 'u32', value: count }, ...kernel.uniforms },
    groups: Math.ceil(count / GROUP),
    threads: GROUP,
    body: () => `  let i = group * ${GROUP}u + t;\n  if (i >= u.count) { return; }\n${body()}`,
  });
}

/** Four values at a time where all sizes are multiples of four: the WGSL type, values in it, and its suffix in names of functions. */
export const vectorOf = (...sizes: number[]) => (sizes.every((s) => s % 4 === 0) ? ({ type: 'vec4f', per: 4, suffix: '4' } as const) : ({ type: 'f32', per: 1, suffix: '' } as const));
