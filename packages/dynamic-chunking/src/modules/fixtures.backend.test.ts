import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { SequenceContext, Segmentation, type StageRecord } from '@bytelm/core';
import { backendsForTest, expectClose, expectNoLeak, loadCase, toTensor, useBackend } from '@bytelm/core/testing';
import { ChunkLayer, DeChunkLayer, ratioLoss, RoutingModule } from '../index.js';

/** Document ids of sequences packed one behind the other. */
function documentsOf(cu: ArrayLike<number>): Int32Array {
  const ids = new Int32Array(cu[cu.length - 1]!);
  for (let d = 0; d + 1 < cu.length; d++) ids.fill(d, cu[d], cu[d + 1]);
  return ids;
}
const bytes = (values: ArrayLike<number>) => Uint8Array.from(values);
/** Fixtures store 0 at padding. */
const masked = (t: tf.Tensor, mask: tf.Tensor) => tf.mul(t, tf.cast(mask, 'float32'));

describe.each(backendsForTest())('H-Net parts against the reference on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  const open = (name: string) => {
    const c = loadCase('hnet', name) as Record<string, any> & { tensors: ReturnType<typeof loadCase>['tensors'] };
    return { c, t: (n: string) => toTensor(c.tensors.get(n)!), v: (n: string) => c.tensors.get(n)!.values };
  };
  const routing = (q: tf.Tensor, k: tf.Tensor) => {
    const module = new RoutingModule({ dModel: q.shape[0]! });
    module.parameters().get('q_proj_layer.weight')!.assign(q);
    module.parameters().get('k_proj_layer.weight')!.assign(k);
    return module;
  };

  it('routing: padded, packed, prefill + steps, gradients', async () => {
    const { c, t, v } = open('dc_routing');
    const module = routing(t('q_weight'), t('k_weight'));
    const [B, L] = c.tensors.get('boundary_prob')!.shape as [number, number];
    const ctx = new SequenceContext(B, L, { lengths: c.lengths });
    const x = t('x') as tf.Tensor3D;
    await expectClose(masked(module.boundaryProb(x, ctx), t('mask')), v('boundary_prob'), { atol: 1e-5 });
    const seg = await module.segment(x, ctx);
    expect([...seg.boundaryMask]).toEqual([...v('boundary_mask')]);

    const { grads } = tf.variableGrads(() => {
      const p = module.boundaryProb(x, ctx);
      const mask = t('mask');
      const chosen = tf.add(0.5, tf.abs(tf.sub(p, 0.5)));
      return tf.sum(masked(tf.add(tf.mul(p, t('loss_w_prob')), tf.mul(chosen, t('loss_w_selected'))), mask)) as tf.Scalar;
    }, [...module.parameters().values()]);
    const [gq, gk] = [...module.parameters().values()].map((w) => grads[w.name]!);
    await expectClose(gq!, v('grad_q_weight'), { atol: 1e-4, rtol: 1e-3, name: 'grad q' });
    await expectClose(gk!, v('grad_k_weight'), { atol: 1e-4, rtol: 1e-3, name: 'grad k' });

    const packed = new SequenceContext(1, v('packed_boundary_prob').length, { documentIds: documentsOf(v('packed_cu_seqlens')) });
    const px = tf.expandDims(t('packed_x'), 0) as tf.Tensor3D;
    await expectClose(tf.reshape(module.boundaryProb(px, packed), [-1]), v('packed_boundary_prob'), { atol: 1e-5, name: 'packed' });
    expect([...(await module.segment(px, packed)).boundaryMask]).toEqual([...v('packed_boundary_mask')]);

    const n = v('step_prefill_length')[0]!;
    const row = tf.slice(x, [c.step.sequence, 0, 0], [1, -1, -1]) as tf.Tensor3D;
    const head = await module.prefill(tf.slice(row, [0, 0, 0], [1, n, -1]) as tf.Tensor3D, module.initState(1), new SequenceContext(1, n));
    await expectClose(head.state.last, v('step_state_last_hidden_after_prefill'), { atol: 1e-6 });
    let state = head.state;
    const probs: number[] = [];
    for (let i = n; i < c.lengths[c.step.sequence]; i++) {
      const out = await module.step({ hidden: tf.reshape(tf.slice(row, [0, i, 0], [1, 1, -1]), [1, -1]) as tf.Tensor2D }, state);
      state = out.state;
      probs.push(out.decision.prob![0]!);
      expect(out.decision.boundary[0]).toBe(v('step_boundary_mask')[i - n]);
    }
    await expectClose(tf.tensor1d(probs), v('step_boundary_prob'), { atol: 1e-5, name: 'step' });
    await expectClose(state.last, v('step_state_last_hidden_final'), { atol: 1e-6 });
  });

  it('chunk layer: padded, packed, gradient', async () => {
    const { c, t, v } = open('dc_chunk');
    const [B, L] = c.tensors.get('boundary_mask')!.shape as [number, number];
    const seg = new Segmentation(B, L, bytes(v('boundary_mask')));
    expect([...seg.numChunks]).toEqual(c.next_lengths);
    const next = t('next_mask');
    const layer = new ChunkLayer();
    await expectClose(masked(layer.forward(t('x') as tf.Tensor3D, seg), tf.expandDims(next, -1)), v('next_hidden'), { atol: 0, rtol: 0 });
    const grad = tf.grad((x) => tf.sum(tf.mul(layer.forward(x as tf.Tensor3D, seg), t('loss_w'))))(t('x'));
    await expectClose(grad, v('grad_x'), { atol: 1e-6, name: 'grad x' });
    const T = v('packed_boundary_mask').length;
    const packedSeg = new Segmentation(1, T, bytes(v('packed_boundary_mask')));
    const packed = layer.forward(tf.expandDims(t('packed_x'), 0) as tf.Tensor3D, packedSeg);
    await expectClose(tf.squeeze(packed, [0]), v('packed_next_hidden'), { atol: 0, rtol: 0, name: 'packed' });
    const inner = packedSeg.innerContext(new SequenceContext(1, T, { documentIds: documentsOf(v('packed_cu_seqlens')) }));
    expect([...inner.documentIds!]).toEqual([...documentsOf(v('packed_next_cu_seqlens'))]);
  });

  /** A dechunk layer whose residual is zero, so that only the smoothing is seen. */
  const bare = (dModel: number) => new DeChunkLayer({ dModel });

  it('dechunk layer: padded, packed, step from a value, gradients', async () => {
    const { c, t, v } = open('dc_dechunk');
    const [B, L] = c.tensors.get('boundary_mask')!.shape as [number, number];
    const ctx = new SequenceContext(B, L, { lengths: c.lengths });
    const seg = new Segmentation(B, L, bytes(v('boundary_mask')));
    const layer = bare(c.d_model);
    const encoded = tf.zeros([B, L, c.d_model]) as tf.Tensor3D;
    const state = layer.initState(B);
    const run = (h: tf.Tensor, p: tf.Tensor) => layer.prefill(h as tf.Tensor3D, encoded, seg, layer.initState(B), ctx, p as tf.Tensor2D).y;
    const mask3 = tf.expandDims(t('mask'), -1);
    await expectClose(masked(run(t('hidden'), t('boundary_prob')), mask3), v('out'), { atol: 1e-5, name: 'out' });
    // `forward` gives the same values; its gate adds a gradient of its own, so the reference's gradients are those of `prefill`.
    await expectClose(masked(layer.forward(t('hidden') as tf.Tensor3D, encoded, seg, ctx, t('boundary_prob') as tf.Tensor2D), mask3), v('out'), { atol: 1e-5 });
    const [gh, gp] = tf.grads((h, p) => tf.sum(tf.mul(masked(run(h!, p!), mask3), t('loss_w'))))([t('hidden'), t('boundary_prob')]);
    await expectClose(masked(gh!, tf.expandDims(t('next_mask'), -1)), v('grad_hidden'), { atol: 1e-4, rtol: 1e-3, name: 'grad hidden' });
    await expectClose(gp!, v('grad_boundary_prob'), { atol: 1e-4, rtol: 1e-3, name: 'grad p' });
    tf.dispose(state.value);

    const T = v('packed_boundary_mask').length;
    const packedCtx = new SequenceContext(1, T, { documentIds: documentsOf(v('packed_cu_seqlens')) });
    const packedSeg = new Segmentation(1, T, bytes(v('packed_boundary_mask')));
    const packed = layer.forward(
      tf.expandDims(t('packed_hidden'), 0) as tf.Tensor3D,
      tf.zeros([1, T, c.d_model]),
      packedSeg,
      packedCtx,
      tf.expandDims(t('packed_boundary_prob'), 0) as tf.Tensor2D,
    );
    await expectClose(tf.squeeze(packed, [0]), v('packed_out'), { atol: 1e-5, name: 'packed' });

    let stepState = { value: t('step_initial_last_value') as tf.Tensor2D };
    const outs: tf.Tensor[] = [];
    for (let i = 0, j = 0; i < L; i++) {
      const fires = v('boundary_mask')[i]!;
      const h = fires ? (tf.slice(tf.reshape(t('hidden'), [B, -1, c.d_model]), [0, j++, 0], [1, 1, -1]) as tf.Tensor3D) : undefined;
      const decision = { boundary: Uint8Array.of(fires), prob: Float32Array.of(v('boundary_prob')[i]!) };
      const out = layer.step(h && (tf.reshape(h, [1, -1]) as tf.Tensor2D), tf.zeros([1, c.d_model]), decision, stepState);
      stepState = out.state;
      outs.push(out.y);
    }
    await expectClose(tf.concat(outs, 0), v('step_out'), { atol: 1e-5, name: 'step' });
    await expectClose(stepState.value, v('step_final_last_value'), { atol: 1e-5, name: 'last value' });
  });

  it('the whole chain with ratio loss: values and all gradients', async () => {
    const { c, t, v } = open('dc_chain');
    const [B, L, D] = c.tensors.get('x')!.shape as [number, number, number];
    const module = routing(t('Wq'), t('Wk'));
    const dechunk = bare(D);
    dechunk.parameters().get('residual_proj.weight')!.assign(t('Wres'));
    dechunk.parameters().get('residual_proj.bias')!.assign(t('bres'));
    const chunk = new ChunkLayer();
    const wMain = tf.variable(t('Wmain'));
    const x = tf.variable(t('x')) as tf.Variable<tf.Rank.R3>;
    const ctx = new SequenceContext(B, L, { lengths: c.lengths });
    const seg = await module.segment(t('x') as tf.Tensor3D, ctx);
    expect([...seg.boundaryMask]).toEqual([...v('boundary_mask')]);
    const forward = () => {
      const p = module.boundaryProb(x, ctx);
      const h = chunk.forward(x, seg);
      const M = h.shape[1]!;
      const main = tf.reshape(tf.tanh(tf.matMul(tf.reshape(h, [B * M, D]), wMain as tf.Tensor2D, false, true)), [B, M, D]) as tf.Tensor3D;
      return { p, y: dechunk.forward(main, x, seg, ctx, p) };
    };
    const mask3 = tf.expandDims(t('mask'), -1);
    await expectClose(masked(forward().y, mask3), v('y'), { atol: 1e-5, rtol: 1e-4, name: 'y' });
    const record = (p: tf.Tensor2D): StageRecord => ({ segmentation: seg, context: ctx, boundaryProb: p });
    await expectClose(ratioLoss(record(forward().p), c.N), [c.ratio_loss], { atol: 1e-5, name: 'ratio loss' });
    const named: [string, tf.Variable][] = [
      ['grad_x', x],
      ['grad_Wq', module.parameters().get('q_proj_layer.weight')!],
      ['grad_Wk', module.parameters().get('k_proj_layer.weight')!],
      ['grad_Wmain', wMain],
      ['grad_Wres', dechunk.parameters().get('residual_proj.weight')!],
      ['grad_bres', dechunk.parameters().get('residual_proj.bias')!],
    ];
    const { value, grads } = tf.variableGrads(() => {
      const { p, y } = forward();
      return tf.add(tf.sum(tf.mul(masked(y, mask3), t('loss_w'))), tf.mul(ratioLoss(record(p), c.N), c.ratio_weight)) as tf.Scalar;
    }, named.map(([, w]) => w));
    await expectClose(value, [c.loss], { atol: 1e-4, name: 'loss' });
    for (const [name, w] of named) await expectClose(grads[w.name]!, v(name), { atol: 1e-4, rtol: 1e-3, name });
  });

  it('does not leak', async () => {
    const D = 8;
    const module = new RoutingModule({ dModel: D });
    const layer = new DeChunkLayer({ dModel: D });
    const x = tf.randomNormal([2, 11, D], 0, 1, 'float32', 3) as tf.Tensor3D;
    await expectNoLeak(async () => {
      const ctx = new SequenceContext(2, 11, { lengths: [11, 6] });
      const cut = await module.prefill(x, module.initState(2), ctx);
      const chunks = new ChunkLayer().forward(x, cut.segmentation);
      const up = layer.prefill(chunks, x, cut.segmentation, layer.initState(2), ctx, cut.boundaryProb);
      const e = tf.zeros([1, D]) as tf.Tensor2D;
      const s = await module.step({ hidden: e }, cut.state, [1]);
      const main = s.decision.boundary[0] ? tf.ones([1, D]) : undefined;
      const u = layer.step(main as tf.Tensor2D | undefined, e, s.decision, up.state, [1]);
      tf.dispose([cut.boundaryProb, chunks, up.y, u.y, u.state.value, s.state.last, e]);
      main?.dispose();
      ctx.dispose();
      cut.segmentation.dispose();
    });
  });
});
