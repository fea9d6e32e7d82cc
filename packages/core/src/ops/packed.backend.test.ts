import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { linear, packedLinear, packWeight, unpackWeight, type PackedFormat } from '../index.js';
import { backendsForTest, checkGradients, expectClose, expectNoLeak, randomTensors, useBackend } from '../testing/index.js';

const random = randomTensors(70);
const FORMATS: Record<PackedFormat, number> = { bf16: 2 ** -8, f16: 2 ** -11, int8: 1 / 127, int4: 1 / 7 };

async function weightOf(format: PackedFormat, n: number, k: number, group = 8) {
  const w = random(n, k) as tf.Tensor2D;
  return { w, packed: packWeight((await w.data()) as Float32Array, [n, k], format, { group }) };
}

describe.each(backendsForTest())('packed weights on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(Object.keys(FORMATS) as PackedFormat[])('%s', (format) => {
    it('unpacks to the nearest value it can hold', async () => {
      const { w, packed } = await weightOf(format, 7, 24);
      await expectClose(unpackWeight(packed), w, { atol: 0.501 * FORMATS[format], rtol: 0, name: format });
    });

    it('multiplies as its unpacked form does, few rows and many', async () => {
      const { packed } = await weightOf(format, 67, 72);
      const bias = random(67);
      for (const rows of [1, 3, 7, 65]) {
        const x = random(rows, 72);
        await expectClose(packedLinear(x, packed, bias), linear(x, unpackWeight(packed), bias), { atol: 2e-5, rtol: 1e-5, name: `${rows} rows` });
      }
      const x = random(2, 3, 72);
      await expectClose(packedLinear(x, packed), linear(x, unpackWeight(packed)), { atol: 2e-5, rtol: 1e-5, name: 'leading axes' });
    });
  });

  it('gradients of x are those of the unpacked form, few rows and many, and are differentiable themselves', async () => {
    for (const format of Object.keys(FORMATS) as PackedFormat[]) {
      const { packed } = await weightOf(format, 67, 72);
      const w = unpackWeight(packed);
      for (const rows of [1, 7, 65]) {
        const [x, dy] = [random(rows, 72), random(rows, 67)];
        const dx = tf.grad((v) => packedLinear(v, packed))(x, dy);
        await expectClose(dx, tf.matMul(dy, w), { atol: 2e-5, rtol: 1e-5, name: `${format}, ${rows} rows` });
      }
      const [x, d] = [random(3, 72), random(3, 72)];
      const twice = tf.grad((dy) => tf.grad((v) => packedLinear(v, packed))(x, dy))(random(3, 67), d);
      await expectClose(twice, linear(d, w), { atol: 2e-5, rtol: 1e-5, name: `${format}, twice` });
    }
  });

  it('bf16 of any even width, and of more than the first caches hold', async () => {
    for (const [n, k] of [[1, 2], [5, 14], [9, 70], [530, 258]] as const) {
      const { packed } = await weightOf('bf16', n, k);
      const bias = random(n);
      for (const rows of [1, 2]) {
        const x = random(rows, k);
        await expectClose(packedLinear(x, packed, bias), linear(x, unpackWeight(packed), bias), { atol: 2e-5, rtol: 1e-5, name: `${n} x ${k}, ${rows} rows` });
      }
    }
  });

  it('has gradients of x and bias, and leaks nothing', async () => {
    const { packed } = await weightOf('bf16', 3, 4);
    await checkGradients((x: tf.Tensor, b: tf.Tensor) => packedLinear(x, packed, b), [random(2, 4), random(3)]);
    const x = random(2, 4);
    await expectNoLeak(() => {
      packedLinear(x, packed).dispose();
      tf.grad((v) => packedLinear(v, packed))(x).dispose();
      unpackWeight(packed).dispose();
    });
  });

  it('keeps published bf16 values and the ends of f16 as they are', async () => {
    const bf16 = Float32Array.of(0, -0, 1.5, -3.015625, 2 ** -126, 3.3895313892515355e38);
    expect([...(await unpackWeight(packWeight(bf16, [1, 6], 'bf16')).data())]).toEqual([...bf16]);
    const f16 = Float32Array.of(65504, -65504, 2 ** -14, 2 ** -24, 1023 * 2 ** -24, 0.333251953125);
    expect([...(await unpackWeight(packWeight(f16, [1, 6], 'f16')).data())]).toEqual([...f16]);
    // Halfway cases go to the even neighbour.
    const ties = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11);
    expect([...(await unpackWeight(packWeight(ties, [1, 2], 'f16')).data())]).toEqual([1, 1 + 2 ** -9]);
    const coarse = Float32Array.of(1 + 2 ** -8, -1 - 3 * 2 ** -8);
    expect([...(await unpackWeight(packWeight(coarse, [1, 2], 'bf16')).data())]).toEqual([1, -1 - 2 ** -6]);
  });
});

describe('packed weights, bad input', () => {
  it('says what does not fit', () => {
    expect(() => packWeight(new Float32Array(6), [2, 3], 'bf16')).toThrow('[packWeight] expected a number of inputs that is a multiple of 2 for bf16, got 3.');
    expect(() => packWeight(new Float32Array(5), [2, 3], 'bf16')).toThrow('expected 2 x 3 = 6 values, got 5.');
    expect(() => packWeight(new Float32Array(16), [1, 16], 'int8', { group: 5 })).toThrow('expected a `group` that divides the 16 inputs, got 5.');
    const words = tf.zeros([2, 4], 'int32') as tf.Tensor2D;
    expect(() => unpackWeight({ format: 'int8', words })).toThrow('[unpackWeight] int8: expected `scales` and a `group` that divides the 16 inputs, got no scales and group 0.');
    expect(() => packedLinear(tf.ones([1, 6]), { format: 'bf16', words })).toThrow('[packedLinear] `x`: expected shape (..., 8), got (1, 6).');
    expect(() => unpackWeight({ format: 'fp8' as PackedFormat, words })).toThrow('format: expected one of bf16, f16, int8, int4, got "fp8".');
  });
});
