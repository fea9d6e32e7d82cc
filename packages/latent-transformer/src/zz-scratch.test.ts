import * as tf from '@tensorflow/tfjs-core';
import { setKernelPolicy } from '@bytelm/core';
import { useBackend } from '@bytelm/core/testing';
import { it } from 'vitest';
import { attention } from './ops/attention.js';
import { attentionGradOp } from './kernels/attention/op.js';
import { decodeAttention } from './ops/decode-attention.js';
import { RotaryEmbedding } from './rotary-embedding.js';
const best = (f: () => void, n = 8) => { let b = 1e9; for (let i = 0; i < n; i++) { const t = performance.now(); f(); b = Math.min(b, performance.now() - t); } return b.toFixed(3); };
it('bench', async () => {
  await useBackend('wasm');
  for (const policy of ['auto', 'portable'] as const) {
    setKernelPolicy(policy);
    const mk = (T: number, H: number) => tf.randomNormal<tf.Rank.R4>([1, T, H, 64]);
    const [q, k, v] = [mk(512, 8), mk(512, 8), mk(512, 8)];
    const mask = { causal: true };
    console.log(policy, 'fwd 512', best(() => tf.tidy(() => { attention(q, { k, v, mask }); })));
    const { y, lse } = attention(q, { k, v, mask });
    const delta = tf.zeros([1, 8, 512]);
    console.log(policy, 'bwd 512', best(() => tf.tidy(() => { attentionGradOp({ q, k, v, dy: y, lse, delta }, { scale: 0.125, causal: true, queryOffset: 0, windowLeft: -1, segmentRule: 'equal' }); })));
    const rope = new RotaryEmbedding({ rotaryDim: 64 });
    console.log(policy, 'rope 512x8x64', best(() => rope.apply(q).dispose()));
    const q1 = tf.randomNormal<tf.Rank.R3>([1, 8, 64]);
    console.log(policy, 'decode 512', best(() => decodeAttention(q1, { k, v, counts: [512] }).dispose(), 50));
  }
  setKernelPolicy('auto');
  const L = 16384;
  const [q, k, v] = [0, 1, 2].map(() => tf.randomNormal<tf.Rank.R4>([1, L, 1, 64]));
  const t = performance.now();
  attention(q!, { k: k!, v: v!, mask: { causal: true } });
  console.log('16k', performance.now() - t, process.memoryUsage());
});
