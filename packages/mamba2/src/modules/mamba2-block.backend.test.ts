import { Linear, ResidualStack, Rng, SequenceContext } from '@bytelm/core';
import { backendsForTest, expectClose, expectNoLeak, positionAt, uniform, useBackend } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Mamba2Block } from './mamba2-block.js';

const D = 16;
const CONFIG = { dModel: D, headDim: 8, dState: 8 };

/** Two blocks, the second with an MLP. */
function stack(): ResidualStack {
  const mlp = new Linear({ inFeatures: D, outFeatures: D }, new Rng(3));
  return new ResidualStack([new Mamba2Block(CONFIG, new Rng(1)), new Mamba2Block({ ...CONFIG, mlp }, new Rng(2))]);
}

describe.each(backendsForTest())('Mamba2Block on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('is residual += hidden; hidden = mixer(norm(residual)), then the same with the MLP', async () => {
    const mlp = new Linear({ inFeatures: D, outFeatures: D }, new Rng(3));
    const block = new Mamba2Block({ ...CONFIG, mlp }, new Rng(2));
    block.norm1.assign(uniform([D], 1, 0.5, 1.5));
    block.norm2!.assign(uniform([D], 2, 0.5, 1.5));
    const ctx = new SequenceContext(2, 7);
    const [hidden, residual] = [uniform([2, 7, D], 3) as tf.Tensor3D, uniform([2, 7, D], 4) as tf.Tensor3D];
    const norm = (x: tf.Tensor, w: tf.Tensor) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-5))), w);
    const r1 = tf.add(hidden, residual);
    const h1 = block.mixer.forward(norm(r1, block.norm1) as tf.Tensor3D, ctx);
    const r2 = tf.add(r1, h1);
    const h2 = mlp.forward(norm(r2, block.norm2!));
    const out = block.forward({ hidden, residual }, ctx);
    await expectClose(out.residual, r2 as tf.Tensor, { atol: 1e-5 });
    await expectClose(out.hidden, h2 as tf.Tensor, { atol: 1e-5 });
    expect([...block.parameters().keys()]).toEqual(expect.arrayContaining(['norm1.weight', 'norm2.weight', 'mixer.in_proj.weight', 'mlp.weight']));
  });

  it('a stack of blocks: 64 steps, rows in any combination, equal the full forward', async () => {
    const model = stack();
    const x = uniform([2, 64, D], 5) as tf.Tensor3D;
    const full = model.forward(x, new SequenceContext(2, 64));
    let state = model.initState(2);
    // Row 1 runs 3 positions behind row 0.
    for (let t = 0; t < 67; t++) {
      const rows = [0, 1].filter((b) => t - 3 * b >= 0 && t - 3 * b < 64);
      const input = tf.concat(rows.map((b) => tf.slice(positionAt(x, t - 3 * b), [b, 0], [1, D]))) as tf.Tensor2D;
      const out = model.step(input, state, rows);
      state = out.state;
      const expected = tf.concat(rows.map((b) => tf.slice(positionAt(full, t - 3 * b), [b, 0], [1, D]))) as tf.Tensor;
      await expectClose(out.y, expected, { atol: 2e-5, name: `step ${t}` });
    }
  });

  it('prefill and steps leak nothing', async () => {
    const model = stack();
    const x = uniform([2, 5, D], 6) as tf.Tensor3D;
    const one = uniform([1, D], 7) as tf.Tensor2D;
    await expectNoLeak(() => {
      const first = model.prefill(x, model.initState(2), new SequenceContext(2, 5));
      const { y, state } = model.step(one, first.state, [1]);
      tf.dispose([first.y, y, ...state.layers.flatMap((s) => Object.values(s as object) as tf.Tensor[])]);
    });
  });
});
