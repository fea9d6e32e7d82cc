/** Threads of a workgroup, a square: `tx` counts along a row, `ty` the rows. */
export const SIDE = 8;
export const THREADS = SIDE * SIDE;

/** Vectors of four floats that hold a row of `width`. */
export const vectors = (width: number): number => Math.ceil(width / 4);

export const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** One line for each number, or for each pair of numbers. */
export const lines = (n: number, line: (i: number) => string): string => count(n).map(line).join('\n');
export const grid = (rows: number, columns: number, line: (r: number, c: number) => string): string => lines(rows, (r) => lines(columns, (c) => line(r, c)));
/** Row or column `i` of those that a thread owns: every eighth. */
export const row = (i: number): string => `(ty + ${SIDE * i}u)`;
export const column = (i: number): string => `(tx + ${SIDE * i}u)`;

/** The width of rows: a number, or WGSL of a uniform with what is known of it. */
export type RowWidth = number | { uniform: string; isAligned: boolean };

const isAligned = (width: RowWidth) => (typeof width === 'number' ? width % 4 === 0 : width.isAligned);
const wgslOf = (width: RowWidth) => (typeof width === 'number' ? `${width}u` : width.uniform);
const typeOf = (width: RowWidth) => (isAligned(width) ? 'vec4f' : 'f32');
const atOf = (width: RowWidth) => (typeof width === 'number' ? `row * ${width / 4}u + c` : `row * (${width.uniform} / 4u) + c`);

/** A tensor that is read row by row: `load_<name>(row, c)` gives floats 4c to 4c + 3, zeros behind the row's end. */
export function rowInput(name: string, binding: number, width: RowWidth): string {
  const declaration = `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${typeOf(width)}>;`;
  if (isAligned(width)) return `${declaration}\nfn load_${name}(row: u32, c: u32) -> vec4f { return ${name}[${atOf(width)}]; }`;
  const part = (i: number) => `select(0.0, ${name}[at + ${i}u], 4u * c + ${i}u < ${wgslOf(width)})`;
  return `${declaration}
fn load_${name}(row: u32, c: u32) -> vec4f {
  let at = row * ${wgslOf(width)} + 4u * c;
  return vec4f(${name}[at], ${part(1)}, ${part(2)}, ${part(3)});
}`;
}

/** The same written: `store_<name>(row, c, value)`. */
export function rowOutput(name: string, binding: number, width: RowWidth): string {
  const declaration = `@group(0) @binding(${binding}) var<storage, read_write> ${name}: array<${typeOf(width)}>;`;
  if (isAligned(width)) return `${declaration}\nfn store_${name}(row: u32, c: u32, value: vec4f) { ${name}[${atOf(width)}] = value; }`;
  return `${declaration}
fn store_${name}(row: u32, c: u32, value: vec4f) {
  let at = row * ${wgslOf(width)} + 4u * c;
${lines(4, (i) => `  if (4u * c + ${i}u < ${wgslOf(width)}) { ${name}[at + ${i}u] = value[${i}]; }`)}
}`;
}

/**
 * Copies rows of a tensor into workgroup memory, all threads together.
 * @param width WGSL of the vectors of a row. @param source WGSL of the tensor's row for row `r`. @param factor WGSL to multiply with.
 */
export function stage(into: string, rows: string, width: string, stride: number, name: string, source: string, factor = ''): string {
  return `for (var r = ty; r < ${rows}; r += ${SIDE}u) {
    let source = ${source};
    for (var c = tx; c < ${width}; c += ${SIDE}u) { ${into}[r * ${stride}u + c] = load_${name}(source, c)${factor}; }
  }`;
}

/** Products of all owned rows with all owned columns: `into<r>_<c>`. */
export function products(into: string, rows: number, columns: number, width: string, stride: number, left: string, right: string): string {
  return `${grid(rows, columns, (r, c) => `    var ${into}${r}_${c} = 0.0;`)}
    for (var d = 0u; d < ${width}; d++) {
${lines(rows, (r) => `      let a${r} = ${left}[${row(r)} * ${stride}u + d];`)}
${lines(columns, (c) => `      let b${c} = ${right}[${column(c)} * ${stride}u + d];`)}
${grid(rows, columns, (r, c) => `      ${into}${r}_${c} += dot(a${r}, b${c});`)}
    }`;
}

/** Adds weights times the rows of a tile: `into<r>_<c>` gains the sum over j < `length` of `weights[r][j] * tile[j][c]`. */
export function accumulate(into: string, rows: number, columns: number, length: string, weightStride: number, stride: number, weights: string, tile: string, also = (_: number) => ''): string {
  return `for (var j = 0u; j < ${length}; j++) {
${lines(rows, (r) => `      let a${r} = ${weights}[${row(r)} * ${weightStride}u + j];${also(r)}`)}
${lines(columns, (c) => `      let b${c} = ${tile}[j * ${stride}u + ${column(c)}];`)}
${grid(rows, columns, (r, c) => `      ${into}${r}_${c} = fma(vec4f(a${r}), b${c}, ${into}${r}_${c});`)}
    }`;
}
