import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { dispatchWebGpu } from '../../backend/webgpu-dispatch.js';
import { expectClose, expectNoLeak, randomTensors, useBackend } from '../../testing/index.js';
import { WGSL } from '../snippets.js';
import { uniformData } from '../uniforms.js';
import { candidateTiles } from './choose.js';
import { batchOf, gridOf, matMulCode, readsOf, uniformsOf } from './code.js';
import { dense } from './operands.js';
import { storeDense } from './store.js';
import type { Tile } from './tile.js';
import type { MatMulCall } from './types.js';

/**
 * No device at hand has matrix units. So the text runs with the few functions that it takes from them written out: every thread does all of its
 * subgroup's work. What is checked is everything around them: what is staged where, which matrices are taken, what goes to the epilogue.
 */
const LANES = 2;
const SIZE = 4;
const EMULATION = /* wgsl */ `
alias Matrix = array<f32, ${SIZE * SIZE}>;
fn loadLeft(at: u32, stride: u32) -> Matrix { var y: Matrix; for (var i = 0u; i < ${SIZE}u; i++) { for (var k = 0u; k < ${SIZE}u; k++) { y[i * ${SIZE}u + k] = As[at + k * stride + i]; } } return y; }
fn loadRight(at: u32, stride: u32) -> Matrix { var y: Matrix; for (var k = 0u; k < ${SIZE}u; k++) { for (var j = 0u; j < ${SIZE}u; j++) { y[k * ${SIZE}u + j] = Bs[at + k * stride + j]; } } return y; }
fn multiply(a: Matrix, b: Matrix, c: Matrix) -> Matrix {
  var y = c;
  for (var i = 0u; i < ${SIZE}u; i++) { for (var j = 0u; j < ${SIZE}u; j++) { for (var k = 0u; k < ${SIZE}u; k++) { y[i * ${SIZE}u + j] += a[i * ${SIZE}u + k] * b[k * ${SIZE}u + j]; } } }
  return y;
}
fn keep(at: u32, y: Matrix, stride: u32) { for (var i = 0u; i < ${SIZE}u; i++) { for (var j = 0u; j < ${SIZE}u; j++) { Cs[at + i * stride + j] = y[i * ${SIZE}u + j]; } } }
`;

const emulated = (text: string) =>
  text
    .replace(/^diagnostic.*\n|^enable .*\n|^requires .*\n/gm, '')
    .replace(', @builtin(subgroup_id) subgroup: u32', '')
    .replace('let row0 =', `let subgroup = t / ${LANES}u; let row0 =`)
    .replaceAll(/subgroup_matrix_result<[^>]*>\(\)/g, 'Matrix()')
    .replaceAll(/subgroupMatrixLoad<subgroup_matrix_left<[^>]*>>\(&As, (.*?), true, (\d+u)\)/g, 'loadLeft($1, $2)')
    .replaceAll(/subgroupMatrixLoad<subgroup_matrix_right<[^>]*>>\(&Bs, (.*?), false, (\d+u)\)/g, 'loadRight($1, $2)')
    .replaceAll('subgroupMatrixMultiplyAccumulate', 'multiply')
    .replaceAll(/subgroupMatrixStore\(&Cs, (.*?), (c\d+_\d+), false, (\d+u)\)/g, 'keep($1, $2, $3)')
    .replace('@compute', `${EMULATION}@compute`);

/** What `webGpuMatMul` does, with the emulated text. */
function runEmulated(backend: KernelBackend, call: MatMulCall, tile: Tile): tf.Tensor {
  const { a, b, epilogue } = call;
  const uniforms = uniformsOf(call);
  const [info] = dispatchWebGpu(backend, {
    key: `emulated ${call.key}, ${a.key}, ${b.key}, ${epilogue.key}`,
    code: () => emulated(matMulCode(call, tile, uniforms, LANES)),
    inputs: readsOf(call).map((r) => r.tensor),
    outputs: epilogue.outputs.map((o) => o.out),
    uniforms: uniformData(uniforms),
    workgroups: [...gridOf(call, tile), batchOf(call)[0]],
  });
  return tf.engine().makeTensorFromTensorInfo(info as TensorInfo);
}

beforeAll(() => useBackend('webgpu'));

const backend = () => tf.backend() as KernelBackend;
const random = randomTensors(40);
/** Four subgroups with two matrices each, one below the other or side by side: every matrix more costs seconds of compiling. */
const TILE: Tile = { tx: 2, ty: 4, rm: 4, rn: 4, bk: 8, unit: { m: SIZE, n: SIZE, k: SIZE } };

it('products by matrix units, sizes around the edges of tiles', () =>
  expectNoLeak(async () => {
    for (const [m, n, k, isTurned] of [[16, 32, 16, false], [21, 19, 13, true]] as const) {
      const [a, b, bias] = [random(2, m, k), isTurned ? random(2, n, k) : random(2, k, n), random(n)];
      const call: MatMulCall = {
        key: 'units',
        batch: 2,
        m,
        n,
        k,
        a: dense('a', a, { sizes: { outer: m, k }, outer: k, k: 1, batch: [m * k, 0] }),
        b: dense('b', b, { sizes: { outer: n, k }, outer: isTurned ? k : 1, k: isTurned ? 1 : n, batch: [n * k, 0] }),
        epilogue: storeDense({ out: { shape: [2, m, n] }, m, n, bias }),
      };
      const y = runEmulated(backend(), call, TILE);
      const want = tf.tidy(() => tf.add(tf.matMul(a, b, false, isTurned), bias));
      await expectClose(y, want, { atol: 2e-5, name: `${m}, ${n}, ${k}` });
      tf.dispose([a, b, bias, y, want]);
    }
  }));

it('pairs of columns become one', () =>
  expectNoLeak(async () => {
    const [m, n, k] = [18, 12, 16];
    const [a, b] = [random(m, k), random(k, 2 * n)];
    const call: MatMulCall = {
      key: 'unit pairs',
      m,
      n,
      k,
      functions: WGSL.activations,
      a: dense('a', a, { sizes: { outer: m, k }, outer: k, k: 1 }),
      b: dense('b', b, { sizes: { outer: 2 * n, k }, outer: 1, k: 2 * n }),
      epilogue: storeDense({ out: { shape: [m, n] }, m, n }),
      pairs: { first: 0, second: n },
    };
    const y = runEmulated(backend(), call, { ...TILE, tx: 4, ty: 2 });
    const want = tf.tidy(() => {
      const [gate, up] = tf.split(tf.matMul(a, b), 2, 1);
      return tf.mul(tf.mul(gate!, tf.sigmoid(gate!)), up!);
    });
    await expectClose(y, want, { atol: 2e-5 });
    tf.dispose([a, b, y, want]);
  }));

it('are no candidates where the device has none', () => expect(candidateTiles(backend()).some((tile) => tile.unit)).toBe(false));
