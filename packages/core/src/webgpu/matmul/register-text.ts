import { tileColumns, tileRows, type Tile } from './tile.js';
import type { ProductText } from './code.js';
import type { MatMulCall } from './types.js';

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const COMPONENTS = ['x', 'y', 'z', 'w'];

/** Products by threads: every output in a register with a name of its own (arrays of registers indexed in loops end up in memory on several drivers). */
export function registerText(call: MatMulCall, tile: Tile): ProductText {
  const [SA, SB] = [tileRows(tile) / 4, tileColumns(tile) / 4];
  const vec = tile.half ? 'vec4h' : 'vec4f';
  const { unroll = 4 } = tile;
  const columns = call.pairs ? tile.rn / 8 : tile.rn / 4;
  return {
    directives: tile.half ? 'enable f16;\n' : '',
    memory: `var<workgroup> As: array<${vec}, ${tile.bk * SA}>;\nvar<workgroup> Bs: array<${vec}, ${tile.bk * SB}>;`,
    parameters: '',
    thread: `let tx = t % ${tile.tx}u; let ty = t / ${tile.tx}u;`,
    zero: range(tile.rm).map((r) => '  ' + range(tile.rn / 4).map((c) => `var c${r}_${c} = vec4f();`).join(' ')).join('\n'),
    put: (into, at, value) => `${into}[${at}] = ${tile.half ? `vec4h(${value})` : value};`,
    products: `    let steps = min(BK, kEnd - k0);
    for (var k = 0u; k < steps; k += ${unroll}u) {
${range(unroll).map((s) => innerText(tile, SA, SB, s)).join('\n')}
    }`,
    store: range(tile.rm).map((r) => rowText(call, tile, r, columns)).join('\n'),
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
