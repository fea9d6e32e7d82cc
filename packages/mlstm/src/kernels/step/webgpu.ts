import type { FastKernel } from '@bytelm/core';
import { canGemv, reduction, runWgsl, storeDense, webGpuGemv, webGpuProduct, WGSL } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { LOG_SIGMOID } from '../cell/wgsl.js';
import { headNormWebGpu } from '../head-norm/webgpu.js';
import type { StepAttrs, StepInput } from './attrs.js';
import * as text from './wgsl.js';

/** Public there, but not part of what tfjs says of backends in general. */
interface TensorMaker {
  makeTensorInfo(shape: number[], dtype: 'int32', values: Int32Array): TensorInfo;
}

/** [y, sum when there is a norm]; the states are updated in place. Ten dispatches a block. Declines when a clone shares the states' data. */
export const stepWebGpu: FastKernel<StepInput, StepAttrs> = ({ inputs: i, attrs: { config: c, normEps, rows }, backend }) => {
  if ([i.C!, i.n!, i.m!].some((t) => backend.refCount(t.dataId) !== 1)) return null;
  const R = i.hidden!.shape[0]!;
  const temporary: TensorInfo[] = [];
  const kept = (t: TensorInfo): TensorInfo => {
    temporary.push(t);
    return t;
  };
  const list = rows && kept((backend as unknown as TensorMaker).makeTensorInfo([R], 'int32', Int32Array.from(rows)));
  const sizes = [c.dModel, c.numHeads, c.keyDim, c.valueDim].join();

  const first = i.norm && addNorm(backend, i.hidden!, i.residual, i.norm, normEps);
  const x = first ? kept(first.normed) : i.hidden!;
  let sum = first?.sum;
  const type = c.dModel % 4 === 0 ? 'vec4f' : 'f32';
  const project = (key: string, names: { [name: string]: TensorInfo | undefined }, outputs: { [name: string]: number }, parts: text.Part[]) =>
    runWgsl(backend, {
      key: `mlstm step ${key} ${sizes}`,
      inputs: { [`x: ${type}`]: x, ...Object.fromEntries(Object.entries(names).map(([n, t]) => [t?.shape.length === 2 ? `${n}: ${type}` : n, t])) },
      outputs: Object.fromEntries(Object.entries(outputs).map(([n, width]) => [n, { shape: [R, width] }])),
      workgroups: R * Math.ceil(parts.reduce((n, p) => n + p.rows, 0) / 4),
      declare: () => reduction('sum16', 64, { lanes: text.LANES }),
      main: (has) => text.projections(c.dModel, parts, has),
    }).map(kept);
  const width = 2 * c.qkDim + c.vDim;
  const [qkv] = project('qkv', { wq: i.q, wk: i.k, wv: i.v, isActive: i.active }, { qkv: width }, [
    { weight: 'wq', rows: c.qkDim, to: 'qkv', column: 0, columns: width },
    { weight: 'wk', rows: c.qkDim, to: 'qkv', column: c.qkDim, columns: width },
    { weight: 'wv', rows: c.vDim, to: 'qkv', column: 2 * c.qkDim, columns: width },
  ]) as [TensorInfo];
  const [open, raw] = project('gates', { outputGate: i.outputGate, inputGate: i.inputGate, forgetGate: i.forgetGate, inputBias: i.inputBias, forgetBias: i.forgetBias }, { open: c.vDim, raw: 2 * c.numHeads }, [
    { weight: 'outputGate', rows: c.vDim, to: 'open', column: 0, columns: c.vDim },
    { weight: 'inputGate', rows: c.numHeads, bias: 'inputBias', to: 'raw', column: 0, columns: 2 * c.numHeads },
    { weight: 'forgetGate', rows: c.numHeads, bias: 'forgetBias', to: 'raw', column: c.numHeads, columns: 2 * c.numHeads },
  ]) as [TensorInfo, TensorInfo];

  const [, , factors] = runWgsl(backend, {
    key: `mlstm step state ${sizes} ${c.gateSoftCap ?? 'open'}`,
    inputs: { raw, qkv, rows: list, isActive: i.active },
    outputs: { n: i.n, m: i.m, factors: { shape: [R, c.numHeads, 3] } },
    f32: { scale: 1 / Math.sqrt(c.keyDim), eps: c.cellEps },
    workgroups: R * c.numHeads,
    declare: () => LOG_SIGMOID + reduction('sumAll', 64),
    main: (has) => text.gates(c, has),
  }) as [TensorInfo, TensorInfo, TensorInfo];
  const [, h] = runWgsl(backend, {
    key: `mlstm step cell ${sizes}`,
    inputs: { qkv, factors: kept(factors), rows: list, isActive: i.active },
    outputs: { C: i.C, h: { shape: [R, c.numHeads, c.valueDim] } },
    threads: R * c.vDim,
    main: (has) => text.cell(c, has),
  }) as [TensorInfo, TensorInfo];
  const [normed] = headNormWebGpu({ inputs: { h: kept(h), gate: open, weight: i.headNorm }, attrs: { eps: c.headNormEps }, backend })!;
  let y = product(backend, kept(normed!), i.outProj!, i.active);

  if (i.norm2) {
    const second = addNorm(backend, kept(y), sum && kept(sum), i.norm2, normEps);
    sum = second.sum;
    const F = i.gateProj!.shape[0]!;
    const [inner] = runWgsl(backend, {
      key: `mlstm step mlp ${c.dModel} ${F}`,
      inputs: { [`x: ${type}`]: kept(second.normed), [`gate: ${type}`]: i.gateProj, [`up: ${type}`]: i.upProj, isActive: i.active },
      outputs: { y: { shape: [R, F] } },
      workgroups: R * Math.ceil(F / 4),
      declare: () => WGSL.activations + reduction('sum16', 64, { lanes: text.LANES }),
      main: (has) => text.gatedUp(c.dModel, F, has),
    }) as [TensorInfo];
    y = product(backend, kept(inner), i.downProj!, i.active);
  }
  for (const t of temporary) backend.disposeData(t.dataId);
  return sum ? [y, sum] : [y];
};

function addNorm(backend: KernelBackend, hidden: TensorInfo, residual: TensorInfo | undefined, weight: TensorInfo, eps: number): { sum: TensorInfo; normed: TensorInfo } {
  const [R, D] = hidden.shape as [number, number];
  const [sum, normed] = runWgsl(backend, {
    key: `mlstm step norm ${D}`,
    inputs: { hidden, residual, weight },
    outputs: { total: { shape: [R, D] }, y: { shape: [R, D] } },
    f32: { eps },
    workgroups: R,
    declare: () => reduction('sumAll', 64),
    main: (has) => text.norm(D, has),
  }) as [TensorInfo, TensorInfo];
  return { sum, normed };
}

/** x Wᵀ; where no row is active, it may be anything. */
function product(backend: KernelBackend, x: TensorInfo, weight: TensorInfo, active: TensorInfo | undefined): TensorInfo {
  const [m, k] = x.shape as [number, number];
  const n = weight.shape[0]!;
  if (canGemv({ m, k })) return webGpuGemv(backend, { m, n, k, x, weight, active, epilogue: storeDense({ out: { shape: [m, n] }, m, n, width: 1 }) })[0]!;
  return webGpuProduct(backend, x, weight, { batch: 1, m, n, k, transposeA: false, transposeB: true, shape: [m, n] });
}
