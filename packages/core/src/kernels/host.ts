import * as tf from '@tensorflow/tfjs-core';
import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel, OpInputs } from '../op/define-op.js';

/** Values on the host in row-major order; float32 unless they are an Int32Array. */
export interface HostArray {
  shape: number[];
  values: Float32Array | Int32Array;
}

/** An op as plain loops over host arrays: its definition, and the kernel of the `cpu` backend. */
export type Loops<N extends string, A> = (inputs: { [K in N]?: HostArray }, attrs: A) => HostArray[];

/** The part of tfjs' cpu backend that kernels need. */
interface CpuBackend {
  data: { get(id: object): { values: Float32Array | Int32Array } };
  makeTensorInfo(shape: number[], dtype: DataType, values: Float32Array | Int32Array): TensorInfo;
}

const dtypeOf = (a: HostArray) => (a.values instanceof Int32Array ? 'int32' : 'float32');
const mapValues = <N extends string, X, Y>(o: { [K in N]?: X }, f: (x: X) => Y) =>
  Object.fromEntries(Object.entries(o).flatMap(([k, v]) => (v == null ? [] : [[k, f(v as X)]]))) as { [K in N]?: Y };

/** Values of a tensor of the cpu backend. */
export const cpuValues = (backend: KernelBackend, t: TensorInfo) => (backend as unknown as CpuBackend).data.get(t.dataId).values;

/** Loops as kernel of the cpu backend. */
export function cpuKernel<N extends string, A>(loops: Loops<N, A>): FastKernel<N, A> {
  return ({ inputs, attrs, backend }) => {
    const cpu = backend as unknown as CpuBackend;
    const host = mapValues<N, TensorInfo, HostArray>(inputs, (t) => ({ shape: t.shape, values: cpuValues(backend, t) }));
    return loops(host, attrs).map((o) => cpu.makeTensorInfo(o.shape, dtypeOf(o), o.values));
  };
}

/** Loops as `naive` form: reads synchronously, so not on webgpu in Node. */
export function naiveForm<N extends string, A>(loops: Loops<N, A>) {
  return (inputs: OpInputs<N>, attrs: A): tf.Tensor[] => {
    const host = mapValues<N, tf.Tensor, HostArray>(inputs, (t) => ({ shape: t.shape, values: t.dataSync() as Float32Array }));
    return loops(host, attrs).map((o) => tf.tensor(o.values, o.shape, dtypeOf(o)));
  };
}

/** A zero-filled float32 result. */
export const hostOutput = (shape: number[]) => ({ shape, values: new Float32Array(sizeOf(shape)) });

/** The shape as plain numbers: tfjs' own type is a union over ranks. */
export const shapeOf = (t: { readonly shape: readonly number[] }): number[] => [...t.shape];

export const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** (..., D) as (rows, D); counts the rows itself, since tfjs cannot infer them for empty tensors. */
export const flatRows = (x: tf.Tensor): tf.Tensor2D => tf.reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape[x.rank - 1]]);
