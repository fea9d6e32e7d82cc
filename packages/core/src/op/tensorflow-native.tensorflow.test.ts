import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { initBackend, rmsNorm, rmsNormGated, setKernelPolicy, splitSwiglu } from '../index.js';
import { adamwStep, sumSquares } from '../kernels/adamw/op.js';
import { expectClose, useBackend } from '../testing/index.js';
import { useTensorflowNative } from './tensorflow-native.js';

const require = createRequire(import.meta.url);
const addon = process.env.BYTELM_TF_OPS ?? require.resolve('@tensorflow/tfjs-node/package.json').replace('package.json', 'lib/napi-v8/bytelm_ops.node');
const hasAddon = existsSync(addon);
if (!hasAddon) console.warn('native ops not built (node tools/setup-tensorflow.mjs): their tests are skipped');

/** Runs a CommonJS program in a process of its own; returns what it printed. */
function run(program: string, env: Record<string, string> = {}): string {
  const r = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2', ...env }, cwd: import.meta.dirname });
  if (r.status !== 0) throw new Error(`exit ${r.status ?? r.signal}: ${r.stderr.slice(-800)}`);
  return r.stdout.trim();
}

const call = `
  const tf = require('@tensorflow/tfjs-node');
  const addon = require(process.env.ADDON);
  const backend = tf.backend();
  const attrs = ['NF', 'NI', 'NO'].map((name, i) => ({ name, type: backend.binding.TF_ATTR_INT, value: [1, 0, 1][i] }));
  const silu = () => backend.executeMultipleOutputs('BytelmNativeSilu', attrs, [tf.tensor1d([0, 1, -1]), tf.tensor1d([1, 0])], 1)[0].dataSync().join();`;

describe.skipIf(!hasAddon)('native ops', () => {
  beforeAll(() => useBackend('tensorflow'));

  it('are reported', async () => {
    const { device, features } = await initBackend('tensorflow');
    expect(features).toContain('native-ops');
    expect(device).toMatch(/native ops on \d+ threads?$/);
  });

  it('of other sources are not used', () => {
    expect(useTensorflowNative({ abi: -1, ops: [], threads: 1 })).toMatch(/not used: built for ABI -1/);
  });

  it('are registered once, whatever loads the addon', () => {
    const program = `${call}
      const { Worker } = require('node:worker_threads');
      const inWorker = () => new Promise((resolve, reject) => new Worker(${JSON.stringify(`${call} require('node:worker_threads').parentPort.postMessage(silu());`)}, { eval: true }).on('message', resolve).on('error', reject));
      (async () => { console.log([silu(), ...(await Promise.all([inWorker(), inWorker()])), silu(), addon.abi].join(' ')); })();`;
    const [first, ...rest] = run(program, { ADDON: addon }).split('\n').at(-1)!.split(' ');
    expect(first).toMatch(/^0,0\.731058\d*,-0\.268941\d*$/);
    expect(rest).toEqual([first, first, first, '1']);
  });

  it('refuse bad calls with an exception', () => {
    const program = `${call} try { backend.executeMultipleOutputs('BytelmNativeRmsNorm', attrs, [tf.zeros([2, 2]), tf.tensor1d([3, 0])], 1); } catch (e) { console.log(e.message); }`;
    expect(run(program, { ADDON: addon })).toContain('too few float inputs');
  });

  it('give the same on one thread as on several', () => {
    const program = `${call}
      const wide = [2, 0, 2].map((value, i) => ({ name: ['NF', 'NI', 'NO'][i], type: backend.binding.TF_ATTR_INT, value }));
      const x = tf.randomNormal([2000, 65], 0, 1, 'float32', 7), w = tf.randomNormal([65], 0, 1, 'float32', 8), r = tf.ones([2000, 1]);
      const four = [4, 0, 2].map((value, i) => ({ ...wide[i], value }));
      const grads = backend.executeMultipleOutputs('BytelmNativeRmsNormGrad', four, [x, w, r, x, tf.tensor1d([15, 0, 65])], 2);
      console.log(addon.threads, require('node:crypto').createHash('sha256').update(Buffer.from(grads[1].dataSync().buffer)).digest('hex'));`;
    const [one, three] = ['1', '3'].map((n) => run(program, { ADDON: addon, BYTELM_TF_OPS_THREADS: n }).split('\n').at(-1)!.split(' '));
    expect([one![0], three![0]]).toEqual(['1', '3']);
    expect(three![1]).toBe(one![1]);
  });

  it('let NaN through', async () => {
    const x = tf.tensor2d([[1, NaN, 3], [1, 2, 3]]);
    const y = rmsNormGated(x, x, tf.ones([3]));
    expect(Array.from(await y.data()).map(Number.isNaN)).toEqual([true, true, true, false, false, false]);
    const packed = splitSwiglu(tf.tensor2d([[NaN, 1, 1, 1]]), { order: 'gate-value' });
    expect(Array.from(await packed.data()).map(Number.isNaN)).toEqual([true, false]);
  });

  it('leak neither tensors nor memory in 300 calls', () => {
    const [x, w] = [tf.randomNormal([512, 512]), tf.ones([512])];
    const step = { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, step: 1 };
    const once = () =>
      tf.tidy(() => {
        tf.grads((a: tf.Tensor, b: tf.Tensor) => tf.sum(rmsNorm(a, b)) as tf.Scalar)([x, w]);
        adamwStep({ param: x, m: x, v: tf.square(x), grad: x }, step);
        sumSquares({ x }, {});
      });
    for (let i = 0; i < 50; i++) once();
    const [tensors, bytes] = [tf.memory().numTensors, process.memoryUsage().rss];
    for (let i = 0; i < 300; i++) once();
    expect(tf.memory().numTensors).toBe(tensors);
    // Each call makes about 8 MiB of outputs.
    expect(process.memoryUsage().rss - bytes).toBeLessThan(64 * 2 ** 20);
    tf.dispose([x, w]);
  });

  it('stand aside for the portable policy', async () => {
    const [x, w] = [tf.randomNormal([3, 33]), tf.randomNormal([33])];
    setKernelPolicy('portable');
    const portable = rmsNorm(x, w);
    setKernelPolicy('auto');
    await expectClose(rmsNorm(x, w), portable, { atol: 1e-6, rtol: 1e-5 });
  });
});

describe('without the addon', () => {
  it('a switched-off addon is not loaded', async () => {
    const before = process.env.BYTELM_TF_OPS;
    process.env.BYTELM_TF_OPS = 'off';
    try {
      expect((await initBackend('tensorflow')).device).toMatch(/native ops off$/);
      process.env.BYTELM_TF_OPS = '/nowhere/ops.node';
      await expect(initBackend('tensorflow')).rejects.toThrow(/BYTELM_TF_OPS=\/nowhere\/ops\.node/);
    } finally {
      if (before === undefined) delete process.env.BYTELM_TF_OPS;
      else process.env.BYTELM_TF_OPS = before;
    }
  });
});
