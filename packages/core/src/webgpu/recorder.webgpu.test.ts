import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { linear } from '../ops/linear.js';
import { rmsNorm } from '../ops/norm.js';
import { sampleIds } from '../ops/sample-ids.js';
import { silu } from '../ops/swiglu.js';
import { embedding } from '../ops/rows.js';
import { expectClose, expectNoLeak, randomTensors, useBackend } from '../testing/index.js';
import { recordStep } from './recorder.js';

const random = randomTensors(900);
const D = 8;
const V = 12;

/** A recurrent byte model out of kernels and ops of tfjs: state' = silu(norm(state + embedding) W), the next id from its product with the table. */
const model = () => ({ table: random(V, D), weight: random(D, D), scale: tf.keep(tf.ones([D])) });
type Weights = ReturnType<typeof model>;

function stepOf({ table, weight, scale }: Weights, ids: tf.Tensor, state: tf.Tensor): { id: tf.Tensor; next: tf.Tensor } {
  const next = silu(linear(rmsNorm(tf.add(state, embedding(table, ids)), scale), weight));
  return { id: sampleIds(linear(next, table), tf.zeros([1]), { temperature: 0 }), next };
}

describe('recorded steps', () => {
  beforeAll(() => useBackend('webgpu'));

  it('replays ops of tfjs and kernels in one pass, feeds states back, and reads 4 bytes', () =>
    expectNoLeak(async () => {
      const weights = model();
      const expected: number[] = [];
      let [ids, state]: tf.Tensor[] = [tf.tensor1d([3], 'int32'), tf.zeros([1, D])];
      for (let i = 0; i < 5; i++) {
        const { id, next } = tf.tidy(() => stepOf(weights, ids!, state!));
        tf.dispose([ids!, state!]);
        [ids, state] = [id, next];
        expected.push((await id.data())[0]!);
      }

      const inputs = { ids: tf.tensor1d([3], 'int32'), state: tf.zeros([1, D]) };
      const recorded = recordStep({ inputs, run: () => stepOf(weights, inputs.ids, inputs.state), feedback: { ids: 'id', state: 'next' } });
      // Sum, gather, norm, two products, activation, argmax: a block has at most 12.
      expect(recorded.dispatches).toBeGreaterThanOrEqual(7);
      expect(recorded.dispatches).toBeLessThanOrEqual(12);
      const got: number[] = [];
      for (let i = 0; i < 5; i++) {
        got.push((await recorded.read('id'))[0]!);
        // What others do in between must not touch the memory of the recording.
        tf.dispose(tf.tidy(() => tf.mul(tf.ones([1, D]), random(1, D))));
      }
      expect(got).toEqual(expected);
      await expectClose(recorded.outputs.next!, state!, { atol: 0, rtol: 0 });

      // From the beginning again, the first steps without reading.
      recorded.write('ids', Int32Array.of(3));
      recorded.write('state', new Float32Array(D));
      for (let i = 0; i < 4; i++) recorded.run();
      expect((await recorded.read('id'))[0]).toBe(expected[4]);
      recorded.dispose();
      tf.dispose([weights, inputs, ids!, state!].flatMap((x) => (x instanceof tf.Tensor ? [x] : Object.values(x))));
    }));

  it('says what a recording cannot do', () =>
    expectNoLeak(async () => {
      const x = tf.ones([1, D]);
      const recorded = recordStep({ inputs: { x }, run: () => ({ y: silu(x) }) });
      await expect(recorded.read('y')).rejects.toThrow('`y` takes 32 bytes, a step hands back at most 16');
      await expect(recorded.read('z')).rejects.toThrow('one of the outputs y, got `z`');
      expect(() => recorded.write('x', new Float32Array(3))).toThrow('expected 8 values as Float32Array, got 3 as Float32Array');
      expect(() => recorded.write('ids', new Float32Array(3))).toThrow('one of the inputs x, got `ids`');
      recorded.dispose();
      expect(() => recorded.run()).toThrow('was disposed');
      expect(() => recordStep({ inputs: { x }, run: () => ({ y: silu(x) }), feedback: { x: 'z' } })).toThrow('feedback z → x: expected an output and an input of one size and dtype, got none and float32 (1, 8)');
      expect(() => recordStep({ inputs: { x }, run: () => { throw new Error('of the step'); } })).toThrow('of the step');
      await expectClose(x, new Float32Array(D).fill(1), { atol: 0 });
      x.dispose();
    }));
});
