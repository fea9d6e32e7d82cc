import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { FastKernel } from '../../op/define-op.js';
import type { Binding } from '../../webgpu/bindings.js';
import { runKernel } from '../../webgpu/kernel.js';
import { reduction } from '../../webgpu/snippets.js';
import { u32 } from '../../webgpu/uniforms.js';
import type { ScanAttrs, ScanGradInput, ScanInput } from './portable.js';
import { runRecurrence } from './webgpu-passes.js';

interface Masks {
  a: TensorInfo;
  lengths?: TensorInfo | undefined;
  documentIds?: TensorInfo | undefined;
}

/** Names what the WGSL of the masks depends on. */
const maskKey = ({ a, lengths, documentIds }: Masks, reverse: boolean) => `${a.shape.length === 2 ? 'shared' : 'own'}${lengths ? ' lengths' : ''}${documentIds ? ' documents' : ''}${reverse ? ' reverse' : ''}`;

const maskReads = ({ a, lengths, documentIds }: Masks): Binding[] => [
  { name: 'a', type: 'f32', tensor: a },
  ...(lengths ? [{ name: 'lengths', type: 'i32' as const, tensor: lengths }] : []),
  ...(documentIds ? [{ name: 'documents', type: 'i32' as const, tensor: documentIds }] : []),
];

/** `runs(n, s)`: is the step inside `lengths`; `passes(n, s)`: does the state pass into it; `decay(n, s, d)`: `a` with both worked in. */
const maskFunctions = ({ a, lengths, documentIds }: Masks, reverse: boolean): string => {
  const [edge, before] = reverse ? ['u.length - 1u', 's + 1u'] : ['0u', 's - 1u'];
  return /* wgsl */ `
fn runs(n: u32, s: u32) -> bool { return ${lengths ? 'i32(s) < lengths[n]' : 'true'}; }
fn passes(n: u32, s: u32) -> bool { ${documentIds ? `if (s == ${edge}) { return true; } return documents[n * u.length + s] == documents[n * u.length + ${before}];` : 'return true;'} }
fn decay(n: u32, s: u32, d: u32) -> f32 {
  if (!runs(n, s)) { return 1.0; }
  if (!passes(n, s)) { return 0.0; }
  return a[${a.shape.length === 2 ? 'n * u.length + s' : '(n * u.length + s) * u.width + d'}];
}`;
};

const sizes = (t: TensorInfo) => t.shape as [number, number, number];

/** y (B, L, D) and the last state (B, D). */
export const webGpuScan: FastKernel<ScanInput, ScanAttrs> = ({ inputs: { b, a, h0, lengths, documentIds }, attrs: { reverse }, backend }) => {
  const [batch, length, width] = sizes(b!);
  if (batch * length * width === 0) return null;
  const masks = { a: a!, lengths, documentIds };
  return runRecurrence(backend, {
    key: `scan ${maskKey(masks, reverse)}`,
    reads: [{ name: 'b', type: 'f32', tensor: b! }, ...maskReads(masks)],
    functions: maskFunctions(masks, reverse),
    uniforms: {},
    batch,
    length,
    width,
    backward: reverse,
    initial: h0,
    factor: 'decay(n, s, d)',
    input: 'select(0.0, b[(n * u.length + s) * u.width + d], runs(n, s))',
    step: 'y[(n * u.length + s) * u.width + d] = h;',
    end: 'last[n * u.width + d] = h;',
    writes: [{ name: 'y', type: 'f32', out: { shape: [batch, length, width] } }, { name: 'last', type: 'f32', out: { shape: [batch, width] } }],
  });
};

/** db, da, dh0: the same recurrence from the other end, each step decayed by the factor of the one behind it. */
export const webGpuScanGrad: FastKernel<ScanGradInput, ScanAttrs> = ({ inputs: { a, y, h0, lengths, documentIds, dy, dfinal }, attrs: { reverse }, backend }) => {
  const [batch, length, width] = sizes(y!);
  if (batch * length * width === 0) return null;
  const masks = { a: a!, lengths, documentIds };
  const [edge, ahead] = reverse ? ['0u', 's - 1u'] : ['u.length - 1u', 's + 1u'];
  const [db, dh0] = runRecurrence(backend, {
    key: `scan gradient ${maskKey(masks, reverse)}`,
    reads: [{ name: 'dy', type: 'f32', tensor: dy! }, ...maskReads(masks)],
    functions: `${maskFunctions(masks, reverse)}
fn decayAhead(n: u32, s: u32, d: u32) -> f32 { if (s == ${edge}) { return 1.0; } return decay(n, ${ahead}, d); }`,
    uniforms: {},
    batch,
    length,
    width,
    backward: !reverse,
    initial: dfinal,
    factor: 'decayAhead(n, s, d)',
    input: 'dy[(n * u.length + s) * u.width + d]',
    step: 'db[(n * u.length + s) * u.width + d] = select(0.0, h, runs(n, s));',
    end: 'dh0[n * u.width + d] = h * decay(n, s, d);',
    writes: [{ name: 'db', type: 'f32', out: { shape: [batch, length, width] } }, { name: 'dh0', type: 'f32', out: { shape: [batch, width] } }],
  }) as [TensorInfo, TensorInfo];
  return [db, factorGradient(), dh0];

  /** da = db · state before, summed over the channels that share a factor. */
  function factorGradient(): TensorInfo {
    const shared = a!.shape.length === 2;
    const lanes = shared ? 32 : 1;
    const before = reverse ? 's + 1u' : 's - 1u';
    const first = reverse ? 'u.length - 1u' : '0u';
    return runKernel(backend, {
      key: `scan factor gradient ${maskKey(masks, reverse)}${h0 ? ' initial' : ''}`,
      reads: [
        { name: 'db', type: 'f32', tensor: db },
        { name: 'y', type: 'f32', tensor: y! },
        ...maskReads(masks).filter((m) => m.name === 'documents'),
        ...(h0 ? [{ name: 'h0', type: 'f32' as const, tensor: h0 }] : []),
      ],
      writes: [{ name: 'da', type: 'f32', out: { shape: a!.shape } }],
      uniforms: { count: u32(shared ? batch * length : batch * length * width), length: u32(length), width: u32(width) },
      threads: 64,
      groups: Math.ceil(((shared ? batch * length : batch * length * width) * lanes) / 64),
      functions: () => `${shared ? reduction('stepSum', 64, { lanes }) : ''}
fn stateBefore(n: u32, s: u32, d: u32) -> f32 {
  if (s == ${first}) { return ${h0 ? 'h0[n * u.width + d]' : '0.0'}; }
  ${documentIds ? `if (documents[n * u.length + s] != documents[n * u.length + ${before}]) { return 0.0; }` : ''}
  return y[(n * u.length + ${before}) * u.width + d];
}`,
      body: () =>
        shared
          ? `  let at = group * ${64 / lanes}u + t / ${lanes}u; let step = min(at, u.count - 1u); let n = step / u.length; let s = step % u.length;
  var own = 0.0;
  for (var d = t % ${lanes}u; d < u.width; d += ${lanes}u) { own += db[step * u.width + d] * stateBefore(n, s, d); }
  let sum = stepSum(own, t);
  if (at < u.count && t % ${lanes}u == 0u) { da[at] = sum; }`
          : `  let at = group * 64u + t;
  if (at >= u.count) { return; }
  let d = at % u.width; let step = at / u.width;
  da[at] = db[at] * stateBefore(step / u.length, step % u.length, d);`,
    })[0]!;
  }
};
