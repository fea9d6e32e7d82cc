import type { TensorInfo } from '@tensorflow/tfjs-core';
import { valuesPerWord, isInteger, type PackedFormat } from '../../kernels/packed/format.js';
import { WGSL } from '../snippets.js';
import { u32 } from '../uniforms.js';
import type { Operand } from './types.js';

/** A strided view of a float32 tensor; strides and offset count elements. */
export interface DenseView {
  /** Values along the outer axis (m of A, n of B) and along k. */
  sizes: { outer: number; k: number };
  /** Distance of neighbours along the outer axis and along k; one of the two is 1. */
  outer: number;
  k: number;
  /** Distance of the matrices of a batch, for its outer and inner counter. Default 0: all share one. */
  batch?: readonly [outer: number, inner: number] | undefined;
  offset?: number | undefined;
}

/** Values as they stand in a tensor, four at a time where sizes, strides and offset are multiples of four. `name` becomes the WGSL name. */
export function dense(name: string, tensor: TensorInfo, view: DenseView): Operand {
  const { sizes, outer, k, batch = [0, 0], offset = 0 } = view;
  const along = canBeWide(view, 'k') ? 'k' : canBeWide(view, 'outer') ? 'outer' : k === 1 ? 'k' : 'outer';
  const width = canBeWide(view, along) ? 4 : 1;
  const far = along === 'k' ? outer : k;
  const near = along === 'k' ? k : outer;
  // One of them is 1, but for a single row or column any stride will do.
  if (near !== 1 && (along === 'k' ? sizes.k : sizes.outer) > 1) throw new Error(`[webgpu] operand ${name}: expected a stride of 1 along k or along the outer axis, got ${outer} and ${k}.`);
  const [unit, shift] = width === 4 ? [4, ' >> 2u'] : [1, ''];
  return {
    key: `${name} ${along}${width}`,
    bindings: [{ name, type: width === 4 ? 'vec4f' : 'f32', tensor }],
    uniforms: { [`${name}Far`]: u32(far / unit), [`${name}Outer`]: u32(batch[0] / unit), [`${name}Inner`]: u32(batch[1] / unit), [`${name}Offset`]: u32(offset / unit) },
    along,
    width,
    setup: `let ${name}Base = u.${name}Offset + bo * u.${name}Outer + bi * u.${name}Inner;`,
    load: (o, kk) => {
      const [row, column] = along === 'k' ? [o, kk] : [kk, o];
      return `${name}[${name}Base + (${row}) * u.${name}Far + ((${column})${shift})]`;
    },
  };
}

function canBeWide({ sizes, outer, k, batch = [0, 0], offset = 0 }: DenseView, along: 'k' | 'outer'): boolean {
  const [near, far, size] = along === 'k' ? [k, outer, sizes.k] : [outer, k, sizes.outer];
  return near === 1 && size > 0 && [size, far, batch[0], batch[1], offset].every((v) => v % 4 === 0);
}

/** A weight (N, K) packed along K, see `packWeight`. */
export interface PackedView {
  format: PackedFormat;
  /** Inputs that share a scale; 0 for the float formats. */
  group: number;
  /** N and K. */
  shape: readonly [number, number];
}

/** Four values from `k` (a multiple of 4) of row `row`, or the one at `k`, as WGSL. */
function packedLoad(name: string, format: PackedFormat, width: 1 | 4) {
  const scale = (row: string, k: string) => (isInteger(format) ? ` * ${name}Scales[(${row}) * u.${name}Groups + (${k}) / u.${name}Group]` : '');
  const word = (row: string, k: string, values: number) => `${name}[(${row}) * u.${name}Row + (${k}) / ${values}u]`;
  if (width === 4) {
    return (row: string, k: string) => {
      if (!isInteger(format)) return `${format}x4(${word(row, k, 4)})`;
      if (format === 'int8') return `int8x4(${word(row, k, 4)})${scale(row, k)}`;
      return `int4x4(${word(row, k, 8)} >> ((${k}) % 8u * 4u))${scale(row, k)}`;
    };
  }
  const per = valuesPerWord(format);
  return (row: string, k: string) => {
    const w = word(row, k, per);
    const j = `(${k}) % ${per}u`;
    if (format === 'bf16') return `bitcast<f32>(select(${w} << 16u, ${w} & 0xffff0000u, ${j} == 1u))`;
    if (format === 'f16') return `unpack2x16float(${w})[${j}]`;
    const bits = 32 / per;
    return `f32(bitcast<i32>(${w} << (${32 - bits}u - ${bits}u * (${j}))) >> ${32 - bits}u)${scale(row, k)}`;
  };
}

/**
 * A packed weight as a factor, unpacked while it is staged.
 * @param along `k`: the product sums over the packed axis (forward); `outer`: over the rows of the weight (gradient of its input).
 */
export function packedOperand(name: string, words: TensorInfo, scales: TensorInfo | undefined, view: PackedView, along: 'k' | 'outer' = 'k'): Operand {
  const { format, group, shape } = view;
  const width = shape[1] % 4 === 0 && (!isInteger(format) || group % 4 === 0) ? 4 : 1;
  const perWord = valuesPerWord(format);
  // The 16-bit formats read two words for four values.
  const wide = width === 4 && perWord === 2;
  const load = packedLoad(name, format, width);
  return {
    key: `${name} ${format} ${along}${width}`,
    bindings: [{ name, type: wide ? 'vec2u' : 'u32', tensor: words }, ...(scales ? [{ name: `${name}Scales`, type: 'f32' as const, tensor: scales }] : [])],
    uniforms: {
      [`${name}Row`]: u32(shape[1] / perWord / (wide ? 2 : 1)),
      ...(scales && { [`${name}Groups`]: u32(shape[1] / group), [`${name}Group`]: u32(group) }),
    },
    along,
    width,
    functions: WGSL.unpack,
    load: along === 'k' ? load : (o, k) => load(k, o),
  };
}
