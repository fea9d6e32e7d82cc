import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { hasWebGpuFeature } from '../../backend/webgpu-dispatch.js';
import { packWeight, unpackWeight } from '../../ops/packed.js';
import { expectClose, expectNoLeak, randomTensors, useBackend } from '../../testing/index.js';
import { u32 } from '../uniforms.js';
import { canGemv, webGpuGemv } from './gemv.js';
import { dense, packedOperand } from './operands.js';
import { webGpuProduct } from './product.js';
import { webGpuMatMul } from './run.js';
import { storeDense } from './store.js';

const random = randomTensors(500);
const backend = () => tf.backend() as KernelBackend;
const tensorOf = (info: TensorInfo) => tf.engine().makeTensorFromTensorInfo(info);
const silu = (x: number) => x / (1 + Math.exp(-x));
const TOLERANCE = { atol: 2e-5, rtol: 1e-5 };

/** Σk a(g, i, k) b(g, k, j). */
function product([batch, m, n, k]: readonly number[], a: (g: number, i: number, k: number) => number, b: (g: number, k: number, j: number) => number): Float32Array {
  const y = new Float32Array(batch! * m! * n!);
  for (let g = 0, at = 0; g < batch!; g++) for (let i = 0; i < m!; i++) for (let j = 0; j < n!; j++, at++) for (let q = 0; q < k!; q++) y[at]! += a(g, i, q) * b(g, q, j);
  return y;
}

/** (m, k) row-major or turned. */
const at = (values: Float32Array, rows: number, columns: number, isTurned: boolean) => (g: number, i: number, j: number) => values[g * rows * columns + (isTurned ? j * rows + i : i * columns + j)]!;

describe('matmul generator', () => {
  beforeAll(() => useBackend('webgpu'));

  // All four ways to load a factor, for both; sizes around the edges of tiles.
  it.each([
    [false, false, [[1, 64, 64, 16], [2, 68, 132, 20]]],
    [true, true, [[1, 60, 128, 1000], [2, 4, 4, 4]]],
    [false, false, [[1, 65, 63, 1], [2, 63, 65, 17]]],
    [true, true, [[1, 65, 1, 63], [2, 5, 130, 31]]],
  ])('A transposed %s, B transposed %s, sizes %j', (transposeA, transposeB, sizes) =>
    expectNoLeak(async () => {
      for (const [batch, m, n, k] of sizes as [number, number, number, number][]) {
        const [a, b] = [random(batch, m, k), random(batch, k, n)];
        const y = tensorOf(webGpuProduct(backend(), a, b, { batch, m, n, k, transposeA, transposeB, shape: [batch, m, n] }));
        const want = product([batch, m, n, k], at((await a.data()) as Float32Array, m, k, transposeA), at((await b.data()) as Float32Array, k, n, transposeB));
        await expectClose(y, want, { ...TOLERANCE, name: `${batch} x ${m}, ${n}, ${k}` });
        tf.dispose([a, b, y]);
      }
    }));

  it('takes strided views, two counters of a batch, and slices of k; the same bits in every run', () =>
    expectNoLeak(async () => {
      // x (2, 40, 3, 8) as 2 x 3 matrices (40, 8), and a shared second factor.
      const [L, H, P] = [40, 3, 8];
      const [x, w] = [random(2, L, H, P), random(P, 12)];
      const run = () =>
        tensorOf(
          webGpuMatMul(backend(), {
            key: 'test views',
            m: L,
            n: 12,
            k: P,
            batch: [2, H],
            uniforms: { half: u32(4) },
            kFrom: 'u.half',
            a: dense('a', x, { sizes: { outer: L, k: P }, outer: H * P, k: 1, batch: [L * H * P, P] }),
            b: dense('b', w, { sizes: { outer: 12, k: P }, outer: 1, k: 12 }),
            epilogue: storeDense({ out: { shape: [2, H, L, 12] }, m: L, n: 12, inner: H }),
          })[0]!,
        );
      const [y, again] = [run(), run()];
      const [xs, ws] = [(await x.data()) as Float32Array, (await w.data()) as Float32Array];
      const want = product([2 * H, L, 12, 4], (g, i, q) => xs[((Math.floor(g / H) * L + i) * H + (g % H)) * P + 4 + q]!, (_, q, j) => ws[(4 + q) * 12 + j]!);
      await expectClose(y, want, TOLERANCE);
      await expectClose(again, y, { atol: 0, rtol: 0 });
      tf.dispose([x, w, y, again]);
    }));

  it('adds a bias, activates, adds what stands beside it or what was there before', () =>
    expectNoLeak(async () => {
      const [m, n, k] = [66, 20, 8];
      const [x, w, bias, residual] = [random(m, k), random(n, k), random(n), random(m, n)];
      const out = tf.mul(residual, 2);
      webGpuMatMul(backend(), {
        key: 'test finish',
        m,
        n,
        k,
        a: dense('a', x, { sizes: { outer: m, k }, outer: k, k: 1 }),
        b: dense('b', w, { sizes: { outer: n, k }, outer: k, k: 1 }),
        epilogue: storeDense({ out, m, n, bias, activation: 'silu', residual, accumulate: true }),
      });
      const [xs, ws, bs, rs] = (await Promise.all([x, w, bias, residual].map((t) => t.data()))) as Float32Array[];
      const want = product([1, m, n, k], at(xs!, m, k, false), at(ws!, k, n, true)).map((v, i) => silu(v + bs![i % n]!) + 3 * rs![i]!);
      await expectClose(out, want, TOLERANCE);
      tf.dispose([x, w, bias, residual, out]);
    }));

  it.each(['int8', 'bf16'] as const)('pairs the columns of a packed %s weight: SwiGLU without its two inputs in memory', (format) =>
    expectNoLeak(async () => {
      const [F, k] = [36, 64];
      const values = random(2 * F, k);
      const packed = packWeight((await values.data()) as Float32Array, [2 * F, k], format);
      const plain = unpackWeight(packed);
      const ws = (await plain.data()) as Float32Array;
      const b = packedOperand('b', packed.words, packed.scales, { format, group: packed.group ?? 0, shape: [2 * F, k] });
      for (const m of [1, 70]) {
        const x = random(m, k);
        const pairs = { first: F, second: 0 };
        const store = { out: { shape: [m, F] }, m, n: F };
        const [info] = canGemv({ m, k, format, group: packed.group })
          ? webGpuGemv(backend(), { m, n: F, k, x, weight: packed.words, scales: packed.scales, format, group: packed.group, pairs, epilogue: storeDense({ ...store, width: 1 }) })
          : webGpuMatMul(backend(), { key: 'test pairs', m, n: F, k, pairs, a: dense('a', x, { sizes: { outer: m, k }, outer: k, k: 1 }), b, epilogue: storeDense(store) });
        const y = tensorOf(info!);
        const both = product([1, m, 2 * F, k], at((await x.data()) as Float32Array, m, k, false), at(ws, k, 2 * F, true));
        const want = Float32Array.from({ length: m * F }, (_, i) => silu(both[Math.floor(i / F) * 2 * F + F + (i % F)]!) * both[Math.floor(i / F) * 2 * F + (i % F)]!);
        await expectClose(y, want, { atol: 5e-5, rtol: 2e-5, name: `${m} rows` });
        tf.dispose([x, y]);
      }
      tf.dispose([values, plain, packed.words, ...(packed.scales ? [packed.scales] : [])]);
    }));

  it('sums over the rows of a packed weight too, for the gradient of its input', () =>
    expectNoLeak(async () => {
      const [m, rows, columns] = [5, 66, 24];
      const values = random(rows, columns);
      const packed = packWeight((await values.data()) as Float32Array, [rows, columns], 'f16');
      const plain = unpackWeight(packed);
      const d = random(m, rows);
      const [info] = webGpuMatMul(backend(), {
        key: 'test rows',
        m,
        n: columns,
        k: rows,
        a: dense('a', d, { sizes: { outer: m, k: rows }, outer: rows, k: 1 }),
        b: packedOperand('b', packed.words, undefined, { format: 'f16', group: 0, shape: [rows, columns] }, 'outer'),
        epilogue: storeDense({ out: { shape: [m, columns] }, m, n: columns }),
      });
      const y = tensorOf(info!);
      await expectClose(y, product([1, m, columns, rows], at((await d.data()) as Float32Array, m, rows, false), at((await plain.data()) as Float32Array, rows, columns, false)), TOLERANCE);
      tf.dispose([values, plain, d, y, packed.words]);
    }));

  it.each([[1, 64], [3, 1000], [4, 63]])('multiplies %i rows of %i values without tiles', (m, k) =>
    expectNoLeak(async () => {
      const n = 65;
      const [x, w, bias] = [random(m, k), random(n, k), random(n)];
      const y = tensorOf(webGpuProduct(backend(), x, w, { batch: 1, m, n, k, transposeA: false, transposeB: true, shape: [m, n], bias }));
      const bs = (await bias.data()) as Float32Array;
      const want = product([1, m, n, k], at((await x.data()) as Float32Array, m, k, false), at((await w.data()) as Float32Array, k, n, true)).map((v, i) => v + bs[i % n]!);
      await expectClose(y, want, TOLERANCE);
      tf.dispose([x, w, bias, y]);
    }));

  it('may keep its factors as f16 where the device can', async () => {
    if (!hasWebGpuFeature(backend(), 'shader-f16')) return;
    const [m, n, k] = [33, 12, 40];
    const [x, w] = [random(m, k), random(n, k)];
    const [info] = webGpuMatMul(backend(), {
      key: 'product',
      m,
      n,
      k,
      tile: { tx: 8, ty: 8, rm: 4, rn: 4, bk: 16, unroll: 1, half: true },
      a: dense('a', x, { sizes: { outer: m, k }, outer: k, k: 1 }),
      b: dense('b', w, { sizes: { outer: n, k }, outer: k, k: 1 }),
      epilogue: storeDense({ out: { shape: [m, n] }, m, n }),
    });
    const y = tensorOf(info!);
    // Factors lose what lies below 2^-11 of them; sums are float32.
    await expectClose(y, product([1, m, n, k], at((await x.data()) as Float32Array, m, k, false), at((await w.data()) as Float32Array, k, n, true)), { atol: 2 ** -11 * Math.sqrt(k) * 2, rtol: 0 });
    tf.dispose([x, w, y]);
  });

  it('leaves out tiles that are not wanted', async () => {
    const n = 128;
    const [x, out] = [random(n, 8), tf.fill([n, n], 7)];
    webGpuMatMul(backend(), {
      key: 'test skip',
      m: n,
      n,
      k: 8,
      skip: 'n0 > m0',
      a: dense('a', x, { sizes: { outer: n, k: 8 }, outer: 8, k: 1 }),
      b: dense('b', x, { sizes: { outer: n, k: 8 }, outer: 8, k: 1 }),
      epilogue: storeDense({ out, m: n, n }),
    });
    const values = await out.data();
    expect(values[n - 1]).toBe(7);
    expect(values[n * n - 1]).not.toBe(7);
    tf.dispose([x, out]);
  });
});
