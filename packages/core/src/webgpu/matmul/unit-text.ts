import type { ProductText } from './code.js';
import { tileColumns, tileRows, type MatrixUnit, type Tile } from './tile.js';
import type { MatMulCall } from './types.js';

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const COMPONENTS = ['x', 'y', 'z', 'w'];

/** Subgroups of a workgroup as rows and columns, and the matrices that each of them has; `undefined` where the tile cannot be cut so. */
export function unitGrid(tile: Tile, { m, n, k }: MatrixUnit, lanes: number): { rows: number; columns: number; down: number; across: number } | undefined {
  const subgroups = (tile.tx * tile.ty) / lanes;
  const rows = 2 ** Math.floor(Math.log2(subgroups) / 2);
  const columns = subgroups / rows;
  const [down, across] = [tileRows(tile) / rows / m, tileColumns(tile) / columns / n];
  return [subgroups, columns, down, across, tile.bk / k].every((v) => Number.isInteger(v) && v > 0) ? { rows, columns, down, across } : undefined;
}

/**
 * Products by matrix units (`chromium_experimental_subgroup_matrix`): every subgroup has a block of small matrices and adds up their products out
 * of workgroup memory. Since no thread knows which values of them it holds, they go to the epilogue through workgroup memory, a row of matrices
 * of each subgroup at a time.
 */
export function unitText(call: MatMulCall, tile: Tile, unit: MatrixUnit, lanes: number): ProductText {
  const grid = unitGrid(tile, unit, lanes);
  if (!grid) throw new Error(`[webgpu] matrix units of ${unit.m}x${unit.n}x${unit.k}: a tile of ${tileRows(tile)}x${tileColumns(tile)} cannot be cut among subgroups of ${lanes} threads.`);
  const { rows, columns, down, across } = grid;
  const [BM, BN] = [tileRows(tile), tileColumns(tile)];
  const type = tile.half ? 'f16' : 'f32';
  const { m, n, k } = unit;
  const load = (kind: 'left' | 'right', from: string, at: string, isColumnMajor: boolean, stride: number) =>
    `subgroupMatrixLoad<subgroup_matrix_${kind}<${type}, ${kind === 'left' ? `${k}, ${m}` : `${n}, ${k}`}>>(&${from}, ${at}, ${isColumnMajor}, ${stride}u)`;
  return {
    directives: `diagnostic(off, chromium.subgroup_matrix_uniformity);\n${tile.half ? 'enable f16;\n' : ''}enable subgroups;\nenable chromium_experimental_subgroup_matrix;\nrequires subgroup_id;\n`,
    memory: `var<workgroup> As: array<${type}, ${tile.bk * BM}>;\nvar<workgroup> Bs: array<${type}, ${tile.bk * BN}>;\nvar<workgroup> Cs: array<f32, ${rows * m * BN}>;`,
    parameters: ', @builtin(subgroup_id) subgroup: u32',
    thread: `let row0 = subgroup / ${columns}u * ${down * m}u; let column0 = subgroup % ${columns}u * ${across * n}u;`,
    zero: range(down).map((r) => '  ' + range(across).map((c) => `var c${r}_${c} = subgroup_matrix_result<f32, ${n}, ${m}>();`).join(' ')).join('\n'),
    put: (into, at, value) => `{ let v = ${value}; let o = (${at}) * 4u; ${COMPONENTS.map((c, i) => `${into}[o + ${i}u] = ${type}(v.${c});`).join(' ')} }`,
    products: `    for (var k = 0u; k < BK; k += ${k}u) {
${range(down).map((r) => `      let a${r} = ${load('left', 'As', `k * ${BM}u + row0 + ${r * m}u`, true, BM)};`).join('\n')}
${range(across).map((c) => `      let b${c} = ${load('right', 'Bs', `k * ${BN}u + column0 + ${c * n}u`, false, BN)};`).join('\n')}
${range(down).map((r) => `      ${range(across).map((c) => `c${r}_${c} = subgroupMatrixMultiplyAccumulate(a${r}, b${c}, c${r}_${c});`).join(' ')}`).join('\n')}
    }`,
    store: range(down).map((r) => roundText(call, tile, unit, { rows, columns, down, across }, r)).join('\n'),
  };
}

/** Stores the r-th row of matrices of every subgroup. */
function roundText({ epilogue, pairs }: MatMulCall, tile: Tile, { m, n }: MatrixUnit, { rows, columns, down, across }: NonNullable<ReturnType<typeof unitGrid>>, r: number): string {
  const BN = tileColumns(tile);
  const quads = (pairs ? BN / 2 : BN) / 4;
  const read = (at: string) => `vec4f(Cs[${at}], Cs[${at} + 1u], Cs[${at} + 2u], Cs[${at} + 3u])`;
  const value = pairs ? `${pairs.combine ?? 'swiglu'}4(${read('o')}, ${read(`o + ${BN / 2}u`)})` : read('o');
  const cells =
    epilogue.width === 4
      ? `let n = first; if (n < u.N) { ${epilogue.store('v', 'm', 'n')} }`
      : COMPONENTS.map((c, j) => `{ let n = first + ${j}u; if (n < u.N) { let v = quad.${c}; ${epilogue.store('v', 'm', 'n')} } }`).join(' ');
  return `  ${range(across).map((c) => `subgroupMatrixStore(&Cs, subgroup / ${columns}u * ${m * BN}u + column0 + ${c * n}u, c${r}_${c}, false, ${BN}u);`).join(' ')}
  workgroupBarrier();
  for (var i = t; i < ${rows * m * quads}u; i += ${tile.tx * tile.ty}u) {
    let line = i / ${quads}u; let o = line * ${BN}u + i % ${quads}u * 4u;
    let m = m0 + line / ${m}u * ${down * m}u + ${r * m}u + line % ${m}u; let first = n0 + i % ${quads}u * 4u;
    if (m < u.M) { let ${epilogue.width === 4 ? 'v' : 'quad'} = ${value}; ${cells} }
  }
  workgroupBarrier();`;
}
