import { bindingText, joinBindings } from '../bindings.js';
import { uniformText, type Uniforms } from '../uniforms.js';
import { stageText } from './stage.js';
import { tileColumns, tileRows, type Tile } from './tile.js';
import type { MatMulCall } from './types.js';

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const COMPONENTS = ['x', 'y', 'z', 'w'];

/** Reads of all parts of a product, in the order of their bindings. */
export const readsOf = (call: MatMulCall) => joinBindings([call.bindings, call.a.bindings, call.b.bindings, call.epilogue.bindings]);

/**
 * The WGSL of a product: both factors staged k-major in workgroup memory, every output in a register with a name of its own (arrays of
 * registers indexed in loops end up in memory on several drivers).
 */
export function matMulCode(call: MatMulCall, tile: Tile, uniforms: Uniforms): string {
  const { a, b, epilogue, pairs } = call;
  const reads = readsOf(call);
  const [BM, BN] = [tileRows(tile), tileColumns(tile)];
  const [SA, SB] = [BM / 4, BN / 4];
  const vec = tile.half ? 'vec4h' : 'vec4f';
  const { unroll = 4 } = tile;
  const columns = pairs ? tile.rn / 8 : tile.rn / 4;
  const functions = [...new Set([call.functions, a.functions, b.functions, epilogue.functions].filter(Boolean))];
  const text = `${tile.half ? 'enable f16;\n' : ''}${uniformText(uniforms, reads.length + epilogue.outputs.length)}
${bindingText(reads, epilogue.outputs)}
const BM = ${BM}u; const BN = ${pairs ? BN / 2 : BN}u; const BK = ${tile.bk}u;
var<workgroup> As: array<${vec}, ${tile.bk * SA}>;
var<workgroup> Bs: array<${vec}, ${tile.bk * SB}>;
${functions.join('\n')}
@compute @workgroup_size(${tile.tx * tile.ty})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) {
  let batch = w.z + u.batch0; let bo = batch / u.inner; let bi = batch % u.inner;
  let m0 = w.y * BM; let n0 = w.x * BN; let tx = t % ${tile.tx}u; let ty = t / ${tile.tx}u;
${[call.setup, a.setup, b.setup, epilogue.setup].filter(Boolean).map((s) => `  ${s}`).join('\n')}
${call.skip ? `  if (${call.skip}) { return; }\n` : ''}  let kBegin = ${call.kFrom ?? '0u'}; let kEnd = ${call.kTo ? `min(u.K, ${call.kTo})` : 'u.K'};
${range(tile.rm).map((r) => '  ' + range(tile.rn / 4).map((c) => `var c${r}_${c} = vec4f();`).join(' ')).join('\n')}
  for (var k0 = kBegin; k0 < kEnd; k0 += BK) {
${stageText(a, { into: 'As', groups: SA, vector: (q) => `min(m0 + ${q} * 4u, u.M - 4u)`, element: (q, i) => `min(m0 + ${q} * 4u + ${i}u, u.M - 1u)` }, tile)}
${stageText(b, { into: 'Bs', groups: SB, ...columnsOf(pairs, SB) }, tile)}
    workgroupBarrier();
    let steps = min(BK, kEnd - k0);
    for (var k = 0u; k < steps; k += ${unroll}u) {
${range(unroll).map((s) => innerText(tile, SA, SB, s)).join('\n')}
    }
    workgroupBarrier();
  }
${range(tile.rm).map((r) => rowText(call, tile, r, columns)).join('\n')}
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

/** The products of one k. */
function innerText(tile: Tile, SA: number, SB: number, step: number): string {
  const read = (array: string, groups: number, thread: string, by: number) => (j: number) => {
    const value = `${array}[${step ? `(k + ${step}u)` : 'k'} * ${groups}u + ${thread}${j ? ` + ${j * by}u` : ''}]`;
    return tile.half ? `vec4f(${value})` : value;
  };
  const as = range(tile.rm / 4).map((j) => `let a${j} = ${read('As', SA, 'ty', tile.ty)(j)};`);
  const bs = range(tile.rn / 4).map((j) => `let b${j} = ${read('Bs', SB, 'tx', tile.tx)(j)};`);
  const products = range(tile.rm).map((r) =>
    range(tile.rn / 4)
      .map((c) => `c${r}_${c} = fma(vec4f(a${Math.floor(r / 4)}.${COMPONENTS[r % 4]}), b${c}, c${r}_${c});`)
      .join(' '),
  );
  return `      { ${as.join(' ')} ${bs.join(' ')}\n        ${products.join('\n        ')} }`;
}

/** Stores one row of a thread. */
function rowText({ epilogue, pairs }: MatMulCall, tile: Tile, r: number, columns: number): string {
  const value = (c: number, component: string) => {
    const at = (j: number) => `c${r}_${j}${component}`;
    if (!pairs) return at(c);
    return `${pairs.combine ?? 'swiglu'}${component ? '' : '4'}(${at(c)}, ${at(c + columns)})`;
  };
  const cells = range(columns).flatMap((c) => {
    const n = `n0 + (tx + ${c * tile.tx}u) * 4u`;
    if (epilogue.width === 4) return [`{ let n = ${n}; if (n < u.N) { let v = ${value(c, '')}; ${epilogue.store('v', 'm', 'n')} } }`];
    return COMPONENTS.map((component, j) => `{ let n = ${n} + ${j}u; if (n < u.N) { let v = ${value(c, `.${component}`)}; ${epilogue.store('v', 'm', 'n')} } }`);
  });
  return `  { let m = m0 + (ty + ${Math.floor(r / 4) * tile.ty}u) * 4u + ${r % 4}u; if (m < u.M) {\n    ${cells.join('\n    ')} } }`;
}
