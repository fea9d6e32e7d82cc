import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { setKernelPolicy } from '../op/define-op.js';
import { backendsForTest, expectClose, expectNoLeak, loadCase, maxError, toTensor, useBackend } from '../testing/index.js';
import { openSafetensors } from '../io/safetensors.js';
import { serializeSafetensors } from '../io/save-safetensors.js';
import { AdamW, groupParameters } from './adamw.js';
import { clipGradNorm, clipScale, globalNorm } from './clip.js';

/** A parameter as modules make it: sole owner of its data. */
function parameter(value: tf.Tensor): tf.Variable {
  const variable = tf.variable(value);
  value.dispose();
  return variable;
}

/** Replays a golden run of six updates; returns what it ends with. */
async function replay(name: string) {
  const { attrs, tol, tensors } = loadCase('kernels', name);
  const params = new Map(['p0', 'p1'].map((p) => [p, parameter(toTensor(tensors.get(`in.${p}`)!))]));
  const groups = groupParameters(params, (p) => ({ weightDecay: attrs.decay[Number(p[1])] ? attrs.weight_decay : 0 }));
  const optimizer = new AdamW(groups, { betas: [attrs.beta1, attrs.beta2], eps: attrs.eps });
  const norms: number[] = [];
  const dataIds = [...params.values()].map((p) => p.dataId);
  for (let step = 0; step < attrs.steps; step++) {
    const grads = new Map([0, 1].map((i) => [`p${i}`, toTensor(tensors.get(`in.g${i}_${step}`)!)]));
    const norm = globalNorm(grads);
    norms.push((await norm.data())[0]!);
    const scale = attrs.clip ? clipScale(norm, attrs.clip) : undefined;
    optimizer.apply(grads, { lr: attrs.lrs[step], scale });
    tf.dispose([norm, ...grads.values()]);
    scale?.dispose();
  }
  const inPlace = [...params.values()].every((p, i) => p.dataId === dataIds[i]);
  return { tol, tensors, params, optimizer, norms, inPlace };
}

describe.each(backendsForTest())('AdamW on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  describe.each(['adamw', 'adamw_clip'])('golden case %s', (name) => {
    it.each(['auto', 'portable'] as const)('%s kernels', async (policy) => {
      setKernelPolicy(policy);
      await expectNoLeak(async () => {
        const { tol, tensors, params, optimizer, norms, inPlace } = await replay(name).finally(() => setKernelPolicy('auto'));
        const got = new Map<string, tf.Tensor>([...params, ...[...optimizer.state()].filter(([n]) => !n.startsWith('step'))] as [string, tf.Tensor][]);
        for (const [key, own] of [['p0', 'p0'], ['p1', 'p1'], ['m0', 'm.p0'], ['m1', 'm.p1'], ['v0', 'v.p0'], ['v1', 'v.p1']] as const) {
          await expectClose(got.get(own)!, tensors.get(`out.${key}`)!.values, { atol: tol[`out.${key}`]!, rtol: 0, name: key });
        }
        const golden = tensors.get('out.norms');
        if (golden) expect(maxError(norms, golden.values)).toBeLessThanOrEqual(tol['out.norms']!);
        expect(optimizer.step).toBe(6);
        expect(inPlace).toBe(['wasm', 'webgpu'].includes(backend) && policy === 'auto');
        optimizer.dispose();
        tf.dispose([...params.values()]);
      });
    });
  });

  it('leaves a clone of a parameter alone', async () => {
    const p = tf.variable(tf.tensor1d([1, 2, 3]));
    const clone = tf.clone(p);
    const optimizer = new AdamW([{ params: new Map([['p', p]]) }]);
    optimizer.apply(new Map([['p', tf.tensor1d([1, 1, 1])]]), { lr: 0.1 });
    expect([...(await clone.data())]).toEqual([1, 2, 3]);
    expect((await p.data())[0]).toBeLessThan(1);
    optimizer.dispose();
  });

  it("the backend's own matMul sees the new values", async () => {
    const w = parameter(tf.ones([2, 2]));
    const x = tf.ones([1, 2]) as tf.Tensor2D;
    await expectClose(tf.matMul(x, w as tf.Tensor2D), [2, 2]);
    const optimizer = new AdamW([{ params: new Map([['w', w as tf.Variable]]), weightDecay: 0 }]);
    optimizer.apply(new Map([['w', tf.ones([2, 2])]]), { lr: 0.5 });
    await expectClose(tf.matMul(x, w as tf.Tensor2D), [1, 1]);
    w.dispose();
    await expectClose(tf.matMul(x, tf.fill([2, 2], 3) as tf.Tensor2D), [6, 6]);
  });

  it('updates a tied parameter once, and leaves one without gradient alone', async () => {
    const p = tf.variable(tf.ones([3]));
    const q = tf.variable(tf.ones([3]));
    const optimizer = new AdamW([{ params: [['a', p], ['b', p], ['q', q]], weightDecay: 0 }]);
    const g = tf.ones([3]);
    optimizer.apply(new Map([['a', g], ['b', g]]), { lr: 0.1 });
    await expectClose(p, [0.9, 0.9, 0.9]);
    await expectClose(q, [1, 1, 1]);
    expect([...optimizer.state().keys()]).toEqual(['m.a', 'v.a', 'step.a']);
  });

  it('continues bit for bit from a saved state', async () => {
    const grads = (s: number) => new Map([['w', tf.randomNormal([37], 0, 1, 'float32', s)]]);
    const start = () => parameter(tf.randomNormal([37], 0, 1, 'float32', 99));
    const [a, b] = [start(), start()];
    const first = new AdamW([{ params: [['w', a]] }]);
    const second = new AdamW([{ params: [['w', b]] }]);
    for (const s of [1, 2, 3]) {
      first.apply(grads(s), { lr: 0.01 });
      second.apply(grads(s), { lr: 0.01 });
    }
    const third = new AdamW([{ params: [['w', b]] }]);
    await third.restore(await openSafetensors(await serializeSafetensors(second.state())));
    for (const s of [4, 5]) {
      first.apply(grads(s), { lr: 0.01 });
      third.apply(grads(s), { lr: 0.01 });
    }
    expect(await b.data()).toEqual(await a.data());
  });

  it('the norm of tensors of any size, in all forms', async () => {
    for (const sizes of [[0], [1], [5, 0, 257], [4096], [4097, 100003]]) {
      const grads = new Map(sizes.map((n, i) => [String(i), tf.randomNormal([n], 0.5, 1, 'float32', i + 1)]));
      let want = 0;
      for (const g of grads.values()) for (const x of await g.data()) want += x * x;
      for (const policy of ['auto', 'portable'] as const) {
        setKernelPolicy(policy);
        const norm = globalNorm(grads);
        setKernelPolicy('auto');
        await expectClose(norm, [Math.sqrt(want)], { atol: 1e-6, rtol: 1e-5, name: `${sizes} ${policy}` });
      }
    }
  });

  it('clips as a function of its own', async () => {
    const { grads, norm } = clipGradNorm(new Map([['x', tf.tensor1d([3, 0])], ['y', tf.tensor1d([0, 4])]]), 1);
    await expectClose(norm, [5]);
    await expectClose(grads.get('x')!, [0.6, 0]);
    const small = clipGradNorm(new Map([['x', tf.tensor1d([0.3])]]), 1);
    await expectClose(small.grads.get('x')!, [0.3], { atol: 1e-7 });
  });
});
