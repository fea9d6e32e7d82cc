import type { FastKernel } from '@bytelm/core';
import { canGemv, reduction, runWgsl, storeDense, webGpuGemv, webGpuProduct, WGSL } from '@bytelm/core/webgpu';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { SOFTPLUS } from '../ssd/wgsl.js';
import type { StepAttrs, StepInput } from './attrs.js';
import * as text from './wgsl.js';

/** Public there, but not part of what tfjs says of backends in general. */
interface TensorMaker {
  makeTensorInfo(shape: number[], dtype: 'int32', values: Int32Array): TensorInfo;
}

/**
 * [y, sum when there is a norm]; the states are updated in place. Six dispatches: norm, projection, convolution, scan, gate and norm,
 * projection. Declines when a clone shares the states' data.
 */
export const stepWebGpu: FastKernel<StepInput, StepAttrs> = ({ inputs: i, attrs: { config: c, rows }, backend }) => {
  if ([i.conv!, i.ssm!].some((t) => backend.refCount(t.dataId) !== 1)) return null;
  if (c.convWidth < 2) return null;
  const R = i.hidden!.shape[0]!;
  const list = rows && (backend as unknown as TensorMaker).makeTensorInfo([R], 'int32', Int32Array.from(rows));
  const temporary: TensorInfo[] = list ? [list] : [];
  const sizes = [c.dModel, c.dMlp, c.numHeads, c.headDim, c.numGroups, c.dState, c.convWidth].join();

  let x = i.hidden!;
  let sum: TensorInfo | undefined;
  if (i.norm) {
    [sum, x] = runWgsl(backend, {
      key: `mamba2 step norm ${c.dModel}`,
      group: text.GROUP,
      inputs: { hidden: i.hidden, residual: i.residual, weight: i.norm },
      outputs: { total: { shape: [R, c.dModel] }, y: { shape: [R, c.dModel] } },
      f32: { eps: c.eps },
      workgroups: R,
      declare: () => reduction('sumAll', text.GROUP),
      main: (has) => text.norm(c.dModel, has),
    }) as [TensorInfo, TensorInfo];
    temporary.push(x);
  }
  const projected = product(backend, x, i.inProj!, i.inBias, i.active);
  const [, xBC] = runWgsl(backend, {
    key: `mamba2 step convolution ${sizes}`,
    inputs: { projected, weight: i.convWeight, bias: i.convBias, rows: list, isActive: i.active },
    outputs: { conv: i.conv, xBC: { shape: [R, c.convChannels] } },
    threads: R * c.convChannels,
    declare: () => WGSL.activations,
    main: (has) => text.convolution(c, has),
  }) as [TensorInfo, TensorInfo];
  const [, y] = runWgsl(backend, {
    key: `mamba2 step scan ${sizes}${c.dPerChannel ? ' D channel' : ''}`,
    group: text.GROUP,
    inputs: { projected, xBC, dtBias: i.dtBias, aLog: i.aLog, D: i.D, rows: list, isActive: i.active },
    outputs: { ssm: i.ssm, y: { shape: [R, c.dSsm] } },
    f32: { low: c.dtLimit[0], high: Math.min(c.dtLimit[1], 3e38) },
    workgroups: R * c.numHeads * Math.ceil(c.headDim / text.CHANNELS),
    declare: () => SOFTPLUS + text.SUMS,
    main: (has) => text.scan(c, has),
  }) as [TensorInfo, TensorInfo];
  const [inner] = runWgsl(backend, {
    key: `mamba2 step gate ${sizes}${c.normBeforeGate ? ' norm first' : ''}`,
    group: text.GROUP,
    inputs: { projected, y, weight: i.gateWeight },
    outputs: { inner: { shape: [R, c.dInner] } },
    f32: { eps: c.eps },
    workgroups: R * c.numGroups,
    declare: () => WGSL.activations + reduction('sumAll', text.GROUP),
    main: (has) => text.gate(c, has),
  }) as [TensorInfo];
  const out = product(backend, inner, i.outProj!, i.outBias, i.active);
  for (const t of [...temporary, projected, xBC, y, inner]) backend.disposeData(t.dataId);
  return sum ? [out, sum] : [out];
};

/** x Wᵀ + b; where no row is active, it may be anything. */
function product(backend: KernelBackend, x: TensorInfo, weight: TensorInfo, bias: TensorInfo | undefined, active: TensorInfo | undefined): TensorInfo {
  const [m, k] = x.shape as [number, number];
  const n = weight.shape[0]!;
  if (canGemv({ m, k })) return webGpuGemv(backend, { m, n, k, x, weight, active, epilogue: storeDense({ out: { shape: [m, n] }, m, n, width: 1, ...(bias && { bias }) }) })[0]!;
  return webGpuProduct(backend, x, weight, { batch: 1, m, n, k, transposeA: false, transposeB: true, shape: [m, n], ...(bias && { bias }) });
}
