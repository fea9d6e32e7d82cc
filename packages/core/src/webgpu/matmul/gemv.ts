import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { dispatchWebGpu, hasWebGpuFeature, workgroupGrid } from '../../backend/webgpu-dispatch.js';
import type { PackedFormat } from '../../kernels/packed/format.js';
import { isInteger } from '../../kernels/packed/format.js';
import { bindingText, joinBindings, type Binding } from '../bindings.js';
import { WGSL } from '../snippets.js';
import { knowsSubgroupId, SUBGROUP_DIRECTIVES } from '../subgroups.js';
import { joinUniforms, u32, uniformData, uniformText, type Uniforms } from '../uniforms.js';
import type { Epilogue } from './types.js';

/** y[m, n] = Σk x[m, k] w[n, k] for a handful of rows m: what decoding is made of. */
export interface GemvCall {
  /** Rows of x, 1 to {@link GEMV_ROWS}. */
  m: number;
  n: number;
  k: number;
  /** (m, k) float32, rows one after the other. */
  x: TensorInfo;
  /** (n, k) float32, or the words of a packed weight. */
  weight: TensorInfo;
  /** Of a packed weight. */
  format?: PackedFormat | undefined;
  scales?: TensorInfo | undefined;
  group?: number | undefined;
  /** Stores single values (width 1), `batch` 0. */
  epilogue: Epilogue;
  /** Two rows of the weight make one value, silu(row first+n) * row second+n. */
  pairs?: { first: number; second: number } | undefined;
  /** (m) int32: where it is 0 in every row, the weight is not read and nothing is stored. */
  active?: TensorInfo | undefined;
}

/** Rows of x that one pass over the weight serves at most. */
export const GEMV_ROWS = 4;
/** Rows of the weight that a workgroup takes: each value of x read from memory is used so often. */
const OUTPUTS = 4;

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
type Form = 'f32' | PackedFormat;

/** Values that a thread takes at a time: one vec4 of the weight (one value where rows are not aligned). */
const STEP: Record<Form, number> = { f32: 4, bf16: 8, f16: 8, int8: 16, int4: 32 };

/** Whether {@link webGpuGemv} can do it. */
export function canGemv({ m, k, format, group = 0 }: Pick<GemvCall, 'm' | 'k' | 'format' | 'group'>): boolean {
  if (m < 1 || m > GEMV_ROWS) return false;
  return !format || (k % STEP[format] === 0 && (!isInteger(format) || group % STEP[format] === 0));
}

/** The products of one step of a thread: `w` holds its vec4 of the weight, x{m}_{j} the values of row m. */
function stepText(form: Form, rows: number, r: number): string {
  const weight = `let w = weight[b${r} + k];`;
  const add = (terms: (m: number) => string, scale = '') => range(rows).map((m) => `a${m}_${r} += ${scale}${terms(m)};`).join(' ');
  if (form === 'f32') return `{ ${weight} ${add((m) => `dot(w, x${m}_0)`)} }`;
  if (form === 'bf16' || form === 'f16') return `{ ${weight} let w0 = ${form}x4(w.xy); let w1 = ${form}x4(w.zw); ${add((m) => `dot(w0, x${m}_0) + dot(w1, x${m}_1)`)} }`;
  const scale = `let s = scales[(b${r} + k) * ${STEP[form]}u / u.group];`;
  const parts = form === 'int8' ? range(4).map((j) => `int8x4(w[${j}])`) : range(8).map((j) => `int4x4(w[${j >> 1}]${j & 1 ? ' >> 16u' : ''})`);
  const values = parts.map((p, j) => `let w${j} = ${p};`).join(' ');
  return `{ ${weight} ${scale} ${values} ${add((m) => `(${parts.map((_, j) => `dot(w${j}, x${m}_${j})`).join(' + ')})`, 's * ')} }`;
}

/** The WGSL of a call. */
export function gemvCode(call: GemvCall, plan: GemvPlan): string {
  const { m: rows, epilogue, pairs, active } = call;
  const { threads, isAligned, subgroups } = plan;
  const { reads, uniforms } = partsOf(call, plan);
  const form: Form = call.format ?? 'f32';
  const cells = range(rows).flatMap((m) => range(OUTPUTS).map((r) => `a${m}_${r}`));
  const row = (r: number) => {
    if (!pairs) return `min(o0 + ${r}u, u.N - 1u)`;
    const half = OUTPUTS / 2;
    return `u.${r < half ? 'first' : 'second'} + min(o0 + ${r % half}u, u.N - 1u)`;
  };
  const vectors = STEP[form] / 4;
  const body = isAligned
    ? `${range(rows).flatMap((m) => range(vectors).map((j) => `let x${m}_${j} = x[${m}u * u.KX + k * ${vectors}u + ${j}u];`)).join(' ')}
    ${range(OUTPUTS).map((r) => stepText(form, rows, r)).join('\n    ')}`
    : `${range(rows).map((m) => `let x${m} = x[${m}u * u.KX + k];`).join(' ')}
    ${range(OUTPUTS).map((r) => `{ let w = weight[b${r} + k]; ${range(rows).map((m) => `a${m}_${r} += w * x${m};`).join(' ')} }`).join('\n    ')}`;
  const perRow = pairs ? OUTPUTS / 2 : OUTPUTS;
  const value = pairs ? `swiglu(total(t / ${perRow}u * ${OUTPUTS}u + t % ${perRow}u), total(t / ${perRow}u * ${OUTPUTS}u + t % ${perRow}u + ${perRow}u))` : 'total(t)';
  return `${subgroups ? SUBGROUP_DIRECTIVES : ''}${uniformText(uniforms, reads.length + epilogue.outputs.length)}
${bindingText(reads, epilogue.outputs)}
var<workgroup> part: array<f32, ${threads * cells.length}>;
${[...new Set([call.format ? WGSL.unpack : '', pairs ? WGSL.activations : '', epilogue.functions ?? ''])].join('\n')}
${subgroups ? `var<workgroup> subgroupsUsed: u32;
fn total(i: u32) -> f32 { var s = 0.0; for (var j = 0u; j < subgroupsUsed; j++) { s += part[i * ${threads}u + j]; } return s; }` : `fn total(i: u32) -> f32 { return part[i * ${threads}u]; }`}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32${subgroups ? ', @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32, @builtin(subgroup_invocation_id) lane: u32' : ''}) {
  let o0 = (w.x + w.y * groups.x) * ${perRow}u;
  if (o0 >= u.N${active ? ` || (${range(rows).map((m) => `isActive[${m}] == 0u`).join(' && ')})` : ''}) { return; }
  let bo = 0u; let bi = 0u;
  ${epilogue.setup ?? ''}
  ${range(OUTPUTS).map((r) => `let b${r} = (${row(r)}) * u.KW;`).join(' ')}
  ${cells.map((c) => `var ${c} = 0.0;`).join(' ')}
  for (var k = t; k < u.KW; k += ${threads}u) {
    ${body}
  }
${subgroups ? subgroupSum(cells, threads) : treeSum(cells, threads)}
  if (t < ${rows * perRow}u) {
    let m = t / ${perRow}u; let n = o0 + t % ${perRow}u;
    if (n < u.N) { let v = ${value}; ${epilogue.store('v', 'm', 'n')} }
  }
}`;
}

const treeSum = (cells: readonly string[], threads: number) => `  ${cells.map((c, i) => `part[t + ${i * threads}u] = ${c};`).join(' ')}
  for (var half = ${threads / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (t < half) { ${cells.map((_, i) => `part[t + ${i * threads}u] += part[t + half + ${i * threads}u];`).join(' ')} }
  }
  workgroupBarrier();`;

const subgroupSum = (cells: readonly string[], threads: number) => `  ${cells.map((c, i) => `let s${i} = subgroupAdd(${c});`).join(' ')}
  if (lane == 0u) { ${cells.map((_, i) => `part[subgroup + ${i * threads}u] = s${i};`).join(' ')} }
  if (t == 0u) { subgroupsUsed = subgroups; }
  workgroupBarrier();`;

/** What of the text depends on the device and on sizes. */
export interface GemvPlan {
  threads: number;
  /** Rows start at multiples of a vec4. */
  isAligned: boolean;
  subgroups: boolean;
}

function planOf(backend: KernelBackend, { m, k, format }: GemvCall): GemvPlan {
  const loads = k / STEP[format ?? 'f32'];
  // At least two loads a thread; three or four rows of x need too much workgroup memory for more threads.
  const threads = loads <= 512 || m > 2 ? 64 : loads <= 1024 ? 128 : 256;
  return { threads, isAligned: Boolean(format) || k % 4 === 0, subgroups: hasWebGpuFeature(backend, 'subgroups') && knowsSubgroupId() };
}

/** What is bound. */
function partsOf({ n, k, x, weight, format, scales, group = 0, epilogue, pairs, active }: GemvCall, { isAligned }: GemvPlan): { reads: Binding[]; uniforms: Uniforms } {
  const per = format ? STEP[format] : isAligned ? 4 : 1;
  const reads = joinBindings([
    [
      { name: 'x', type: isAligned ? 'vec4f' : 'f32', tensor: x },
      { name: 'weight', type: format ? 'vec4u' : isAligned ? 'vec4f' : 'f32', tensor: weight },
    ],
    scales && [{ name: 'scales', type: 'f32', tensor: scales }],
    active && [{ name: 'isActive', type: 'u32', tensor: active }],
    epilogue.bindings,
  ]);
  const uniforms = joinUniforms([
    { N: u32(n), KW: u32(k / per), KX: u32(isAligned ? k / 4 : k), ...(scales && { group: u32(group) }), ...(pairs && { first: u32(pairs.first), second: u32(pairs.second) }) },
    epilogue.uniforms,
  ]);
  return { reads, uniforms };
}

/** Runs it, see {@link canGemv}. @returns the outputs of the epilogue. */
export function webGpuGemv(backend: KernelBackend, call: GemvCall): TensorInfo[] {
  const { m, n, format, epilogue, pairs, active } = call;
  const plan = planOf(backend, call);
  const { reads, uniforms } = partsOf(call, plan);
  return dispatchWebGpu(backend, {
    key: `gemv ${format ?? 'f32'} ${m} rows${plan.isAligned ? '' : ' single'}, ${epilogue.key}${pairs ? ' pairs' : ''}${active ? ' active' : ''}, ${plan.threads}${plan.subgroups ? ' subgroups' : ''}`,
    code: () => gemvCode(call, plan),
    inputs: reads.map((r) => r.tensor),
    outputs: epilogue.outputs.map((o) => o.out),
    uniforms: uniformData(uniforms),
    workgroups: workgroupGrid(backend, Math.ceil(n / (pairs ? OUTPUTS / 2 : OUTPUTS))),
  });
}

