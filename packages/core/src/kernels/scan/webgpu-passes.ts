import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { Binding, Output } from '../../webgpu/bindings.js';
import { runKernel } from '../../webgpu/kernel.js';
import { u32, type Uniforms } from '../../webgpu/uniforms.js';

const GROUP = 64;
/** Steps of a block; with fewer states than fill a device, blocks of a sequence run side by side. */
const BLOCK = 64;
const BUSY = 16384;

/** h = factor·h + input over the steps of (batch, length, width), forward or backward, however many blocks that takes. */
export interface Recurrence {
  /** Names `functions`. */
  key: string;
  reads: readonly Binding[];
  functions: string;
  uniforms: Uniforms;
  batch: number;
  length: number;
  width: number;
  /** Steps run from the last to the first. */
  backward: boolean;
  /** (batch, width); without it the first state is 0. */
  initial: TensorInfo | undefined;
  /** WGSL expressions at batch `n`, step `s`, channel `d`. */
  factor: string;
  input: string;
  /** WGSL statements behind each step, which know the new state `h`; and behind the last step of a sequence. */
  step: string;
  end: string;
  writes: readonly Output[];
}

const uniformsOf = ({ batch, length, width, uniforms }: Recurrence, steps: number, blocks: number): Uniforms => ({
  batch: u32(batch),
  length: u32(length),
  width: u32(width),
  steps: u32(steps),
  blocks: u32(blocks),
  ...uniforms,
});

/** A thread runs one channel through one block; blocks and steps count in the order of the scan. */
const THREAD = `  let at = group * ${GROUP}u + t;
  if (at >= u.batch * u.blocks * u.width) { return; }
  let d = at % u.width; let block = at / u.width % u.blocks; let n = at / u.width / u.blocks;
  let first = block * u.steps; let end = min(first + u.steps, u.length);`;

const loop = (r: Recurrence, body: string) => `  for (var i = first; i < end; i++) {
    let s = ${r.backward ? 'u.length - 1u - i' : 'i'};
    ${body}
  }`;

/** Runs it. @returns the tensors of `writes`. */
export function runRecurrence(backend: KernelBackend, r: Recurrence): TensorInfo[] {
  const blocks = r.batch * r.width >= BUSY || r.length <= 2 * BLOCK ? 1 : Math.ceil(r.length / BLOCK);
  const steps = blocks === 1 ? r.length : BLOCK;
  const common = { uniforms: uniformsOf(r, steps, blocks), threads: GROUP, groups: Math.ceil((r.batch * blocks * r.width) / GROUP), functions: () => r.functions };
  const entering = blocks === 1 ? r.initial : statesBetween(backend, r, blocks, common);
  const outputs = runKernel(backend, {
    ...common,
    key: `${r.key}${entering ? '' : ' from zero'}`,
    reads: [...r.reads, ...(entering ? [{ name: 'entering', type: 'f32' as const, tensor: entering }] : [])],
    writes: r.writes,
    body: () => `${THREAD}
  var h = ${entering ? 'entering[at]' : '0.0'};
${loop(r, `h = ${r.factor} * h + ${r.input};\n    ${r.step}`)}
  if (end == u.length) { let s = ${r.backward ? '0u' : 'u.length - 1u'}; ${r.end} }`,
  });
  if (entering && entering !== r.initial) backend.disposeData(entering.dataId);
  return outputs;
}

type Common = Pick<Parameters<typeof runKernel>[1], 'uniforms' | 'threads' | 'groups' | 'functions'>;

/** The state that enters each block, (batch, blocks, width): every block from zero, then the blocks one after the other. */
function statesBetween(backend: KernelBackend, r: Recurrence, blocks: number, common: Common): TensorInfo {
  const shape = [r.batch, blocks, r.width];
  const [ends, products] = runKernel(backend, {
    ...common,
    key: `${r.key}, blocks`,
    reads: r.reads,
    writes: [{ name: 'ends', type: 'f32', out: { shape } }, { name: 'products', type: 'f32', out: { shape } }],
    body: () => `${THREAD}
  var h = 0.0; var p = 1.0;
${loop(r, `let f = ${r.factor}; h = f * h + ${r.input}; p *= f;`)}
  ends[at] = h; products[at] = p;`,
  }) as [TensorInfo, TensorInfo];
  const [entering] = runKernel(backend, {
    key: `states between blocks${r.initial ? ', given the first' : ''}`,
    reads: [
      { name: 'ends', type: 'f32', tensor: ends },
      { name: 'products', type: 'f32', tensor: products },
      ...(r.initial ? [{ name: 'initial', type: 'f32' as const, tensor: r.initial }] : []),
    ],
    writes: [{ name: 'entering', type: 'f32', out: { shape } }],
    uniforms: { batch: u32(r.batch), blocks: u32(blocks), width: u32(r.width) },
    threads: GROUP,
    groups: Math.ceil((r.batch * r.width) / GROUP),
    body: () => `  let at = group * ${GROUP}u + t;
  if (at >= u.batch * u.width) { return; }
  var h = ${r.initial ? 'initial[at]' : '0.0'};
  for (var b = 0u; b < u.blocks; b++) {
    let j = (at / u.width * u.blocks + b) * u.width + at % u.width;
    entering[j] = h;
    h = products[j] * h + ends[j];
  }`,
  }) as [TensorInfo];
  for (const t of [ends, products]) backend.disposeData(t.dataId);
  return entering;
}
