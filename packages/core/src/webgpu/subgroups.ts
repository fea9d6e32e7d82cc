import type { KernelBackend } from '@tensorflow/tfjs-core';
import { hasWebGpuFeature } from '../backend/webgpu-dispatch.js';
import { subgroupSizes } from './adapter.js';

/** The builtin `subgroup_id` came later than subgroups; without it the order of a workgroup's subgroups is not known. */
export const knowsSubgroupId = (): boolean => Boolean((globalThis.navigator as Navigator | undefined)?.gpu?.wgslLanguageFeatures?.has('subgroup_id'));

/**
 * Whether {@link subgroupReduction} works in workgroups of so many threads: every subgroup is full, and holds whole teams. Adapters say how
 * large their subgroups are; where one does not, nothing is known.
 */
export function canReduceInSubgroups(backend: KernelBackend, { lanes, threads }: { lanes: number; threads: number }): boolean {
  const sizes = subgroupSizes(backend);
  return hasWebGpuFeature(backend, 'subgroups') && knowsSubgroupId() && sizes !== undefined && sizes.min >= lanes && sizes.max <= threads;
}

/** What stands before all else in a text with {@link subgroupReduction}. */
export const SUBGROUP_DIRECTIVES = 'enable subgroups;\nrequires subgroup_id;\n';

/** Parameters of `main`, and the thread's number `t` made of them: neighbours in a subgroup are neighbours in the workgroup, which no rule says of `local_invocation_index`. */
export const SUBGROUP_THREAD = {
  parameters: '@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) subgroupSize: u32, @builtin(subgroup_invocation_id) subgroupLane: u32',
  number: '  let t = subgroup * subgroupSize + subgroupLane;',
};

/**
 * `fn <name>(v)`: what `join` makes of `v` of the `lanes` (a power of two) neighbours that the thread belongs to, in a fixed order, given to
 * all of them; without workgroup memory and barriers. To be called by all of a subgroup's threads, which are numbered as {@link SUBGROUP_THREAD} says.
 */
export function subgroupReduction(name: string, { lanes, join = (x, y) => `${x} + ${y}` }: { lanes: number; join?: (x: string, y: string) => string }): string {
  const steps = Array.from({ length: Math.log2(lanes) }, (_, i) => `  x = ${join('x', `subgroupShuffleXor(x, ${2 ** i}u)`)};`);
  return /* wgsl */ `
fn ${name}(v: f32) -> f32 {
  var x = v;
${steps.join('\n')}
  return x;
}`;
}
