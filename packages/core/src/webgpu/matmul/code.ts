import { bindingText, joinBindings } from '../bindings.js';
import { joinUniforms, u32, uniformText, type Uniforms } from '../uniforms.js';
import { stageText } from './stage.js';
import { registerText } from './register-text.js';
import { tileColumns, tileRows, type Tile } from './tile.js';
import { unitText } from './unit-text.js';
import type { MatMulCall } from './types.js';

/** Uniforms of a product whose batch begins at `batch0`. */
export const uniformsOf = (call: MatMulCall, batch0 = 0): Uniforms =>
  joinUniforms([
    { M: u32(call.m), N: u32(call.n), K: u32(call.k), inner: u32(batchOf(call)[1]), batch0: u32(batch0), ...(call.pairs && { first: u32(call.pairs.first), second: u32(call.pairs.second) }) },
    call.uniforms,
    call.a.uniforms,
    call.b.uniforms,
    call.epilogue.uniforms,
  ]);

/** Its two counters. */
export const batchOf = ({ batch = 1 }: MatMulCall): readonly [outer: number, inner: number] => (typeof batch === 'number' ? [batch, 1] : batch);

/** Workgroups in n and in m. */
export const gridOf = ({ m, n, pairs }: MatMulCall, tile: Tile): [number, number] => [Math.ceil(n / (pairs ? tileColumns(tile) / 2 : tileColumns(tile))), Math.ceil(m / tileRows(tile))];

/** How a workgroup multiplies and keeps what it has staged: by its threads' registers, or by matrix units. */
export interface ProductText {
  directives: string;
  /** Declarations of workgroup memory. */
  memory: string;
  /** Further parameters of `main`, and what it `let`s of them. */
  parameters: string;
  thread: string;
  /** Accumulators. */
  zero: string;
  /** Statement that puts a vec4f at vector `at` of a factor's workgroup array. */
  put(into: string, at: string, value: string): string;
  /** Adds up the products of the staged tiles, from `k0` on. */
  products: string;
  /** Hands the accumulators to the epilogue. */
  store: string;
}

/** Reads of all parts of a product, in the order of their bindings. */
export const readsOf = (call: MatMulCall) => joinBindings([call.bindings, call.a.bindings, call.b.bindings, call.epilogue.bindings]);

/**
 * The WGSL of a product: both factors staged k-major in workgroup memory.
 * @param lanes Threads of a subgroup, for tiles by matrix units.
 */
export function matMulCode(call: MatMulCall, tile: Tile, uniforms: Uniforms, lanes = 32): string {
  const { a, b, epilogue, pairs } = call;
  const reads = readsOf(call);
  const [BM, BN] = [tileRows(tile), tileColumns(tile)];
  const [SA, SB] = [BM / 4, BN / 4];
  const by = tile.unit ? unitText(call, tile, tile.unit, lanes) : registerText(call, tile);
  const functions = [...new Set([call.functions, a.functions, b.functions, epilogue.functions].filter(Boolean))];
  const text = `${by.directives}${uniformText(uniforms, reads.length + epilogue.outputs.length)}
${bindingText(reads, epilogue.outputs)}
const BM = ${BM}u; const BN = ${pairs ? BN / 2 : BN}u; const BK = ${tile.bk}u;
${by.memory}
${functions.join('\n')}
@compute @workgroup_size(${tile.tx * tile.ty})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32${by.parameters}) {
  let batch = w.z + u.batch0; let bo = batch / u.inner; let bi = batch % u.inner;
  let m0 = w.y * BM; let n0 = w.x * BN; ${by.thread}
${[call.setup, a.setup, b.setup, epilogue.setup].filter(Boolean).map((s) => `  ${s}`).join('\n')}
${call.skip ? `  if (${call.skip}) { return; }\n` : ''}  let kBegin = ${call.kFrom ?? '0u'}; let kEnd = ${call.kTo ? `min(u.K, ${call.kTo})` : 'u.K'};
${by.zero}
  for (var k0 = kBegin; k0 < kEnd; k0 += BK) {
${stageText(a, { into: 'As', groups: SA, put: by.put, vector: (q) => `min(m0 + ${q} * 4u, u.M - 4u)`, element: (q, i) => `min(m0 + ${q} * 4u + ${i}u, u.M - 1u)` }, tile)}
${stageText(b, { into: 'Bs', groups: SB, put: by.put, ...columnsOf(pairs, SB) }, tile)}
    workgroupBarrier();
${by.products}
    workgroupBarrier();
  }
${by.store}
}`;
  return text;
}

/** Which column of B stands where in its tile: with pairs the first half holds the first columns, the second half their partners. */
function columnsOf(pairs: MatMulCall['pairs'], groups: number) {
  if (!pairs) return { vector: (q: string) => `min(n0 + ${q} * 4u, u.N - 4u)`, element: (q: string, i: number) => `min(n0 + ${q} * 4u + ${i}u, u.N - 1u)` };
  const half = groups / 2;
  const base = (q: string) => `select(u.first, u.second, ${q} >= ${half}u)`;
  return {
    vector: (q: string) => `(${base(q)} + min(n0 + ${q} % ${half}u * 4u, u.N - 4u))`,
    element: (q: string, i: number) => `(${base(q)} + min(n0 + ${q} % ${half}u * 4u + ${i}u, u.N - 1u))`,
  };
}
