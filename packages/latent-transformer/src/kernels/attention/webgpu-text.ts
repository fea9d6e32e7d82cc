import { SUBGROUP_DIRECTIVES, SUBGROUP_THREAD } from '@bytelm/core/webgpu';

/** Threads along a row, `tx`, and as a rule along the rows, `ty`. */
export const SIDE = 8;
export const THREADS = SIDE * SIDE;

/** How a workgroup is made, where not as a rule. */
export interface Form {
  /** Threads along the rows. Default 8. */
  height?: number | undefined;
  /** Tiles are kept as f16: half the workgroup memory, eleven bits. Sums are float32. */
  half?: boolean | undefined;
  /** Neighbours along a row agree within their subgroup instead of by way of workgroup memory. */
  subgroups?: boolean | undefined;
}

export const heightOf = ({ height = SIDE }: Form): number => height;
/** In keys of kernels and names of candidates. */
export const formName = (form: Form): string => `${heightOf(form) === SIDE ? '' : `, ${SIDE} x ${heightOf(form)} threads`}${form.subgroups ? ', subgroups' : ''}${form.half ? ', f16' : ''}`;
/** What a text begins with. */
export const directives = ({ half, subgroups }: Form): string => `${half ? 'enable f16;\n' : ''}${subgroups ? SUBGROUP_DIRECTIVES : ''}`;
/** Type and bytes of a vector of a tile; and one of them read, and made. */
export const tileType = ({ half }: Form): string => (half ? 'vec4h' : 'vec4f');
export const tileBytes = ({ half }: Form): number => (half ? 8 : 16);
export const wide = ({ half }: Form, vector: string): string => (half ? `vec4f(${vector})` : vector);
export const narrow = ({ half }: Form, vector: string): string => (half ? `vec4h(${vector})` : vector);
/** The last parameters of `main`, and `t`, the thread's number. */
export const threadParameters = ({ subgroups }: Form): string => (subgroups ? SUBGROUP_THREAD.parameters : '@builtin(local_invocation_index) t: u32');
export const threadNumber = ({ subgroups }: Form): string => (subgroups ? `${SUBGROUP_THREAD.number}\n` : '');

/** Vectors of four floats that hold a row of `width`. */
export const vectors = (width: number): number => Math.ceil(width / 4);

export const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** One line for each number, or for each pair of numbers. */
export const lines = (n: number, line: (i: number) => string): string => count(n).map(line).join('\n');
export const grid = (rows: number, columns: number, line: (r: number, c: number) => string): string => lines(rows, (r) => lines(columns, (c) => line(r, c)));
/** Row or column `i` of those that a thread owns: every eighth, or as many as threads stand there. */
export const row = (i: number, form: Form = {}): string => `(ty + ${heightOf(form) * i}u)`;
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
export function stage(form: Form, into: string, rows: string, width: string, stride: number, name: string, source: string, factor = ''): string {
  const value = `load_${name}(source, c)${factor}`;
  return `for (var r = ty; r < ${rows}; r += ${heightOf(form)}u) {
    let source = ${source};
    for (var c = tx; c < ${width}; c += ${SIDE}u) { ${into}[r * ${stride}u + c] = ${narrow(form, value)}; }
  }`;
}

/** Products of all owned rows with all owned columns: `into<r>_<c>`. */
export function products(form: Form, into: string, rows: number, columns: number, width: string, stride: number, left: string, right: string): string {
  return `${grid(rows, columns, (r, c) => `    var ${into}${r}_${c} = 0.0;`)}
    for (var d = 0u; d < ${width}; d++) {
${lines(rows, (r) => `      let a${r} = ${wide(form, `${left}[${row(r, form)} * ${stride}u + d]`)};`)}
${lines(columns, (c) => `      let b${c} = ${wide(form, `${right}[${column(c)} * ${stride}u + d]`)};`)}
${grid(rows, columns, (r, c) => `      ${into}${r}_${c} += dot(a${r}, b${c});`)}
    }`;
}

/** Adds weights times the rows of a tile: `into<r>_<c>` gains the sum over j < `length` of `weights[r][j] * tile[j][c]`. */
export function accumulate(form: Form, into: string, rows: number, columns: number, length: string, weightStride: number, stride: number, weights: string, tile: string, also = (_: number) => ''): string {
  return `for (var j = 0u; j < ${length}; j++) {
${lines(rows, (r) => `      let a${r} = ${weights}[${row(r, form)} * ${weightStride}u + j];${also(r)}`)}
${lines(columns, (c) => `      let b${c} = ${wide(form, `${tile}[j * ${stride}u + ${column(c)}]`)};`)}
${grid(rows, columns, (r, c) => `      ${into}${r}_${c} = fma(vec4f(a${r}), b${c}, ${into}${r}_${c});`)}
    }`;
}
