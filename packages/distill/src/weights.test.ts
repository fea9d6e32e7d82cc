import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HostTensor, TensorSource } from '@bytelm/core/io';
import { fixtureRoot, readGolden } from '@bytelm/core/testing';
import { bltFromLlama, BOLMO_EMBEDDINGS, taskArithmetic } from './index.js';

/** Tensors in memory, as a checkpoint. */
function source(name: string, tensors: Map<string, HostTensor>): TensorSource {
  const get = (n: string) => tensors.get(n)!;
  return {
    name,
    names: [...tensors.keys()],
    metadata: {},
    has: (n) => tensors.has(n),
    info: (n) => ({ dtype: 'F32', shape: get(n).shape }),
    read: async (n: string) => ({ ...get(n), values: get(n).values.slice() }),
    close: async () => undefined,
  };
}
const golden = readGolden(join(fixtureRoot(), 'bolmo/task_arithmetic.safetensors')) as Map<string, HostTensor>;
const part = (prefix: string) => new Map([...golden].filter(([n]) => n.startsWith(`${prefix}.`)).map(([n, t]) => [n.slice(prefix.length + 1), t]));
const models = () => ({ base: source('base', part('base')), tuned: source('post', part('post')), student: source('bolmo', part('bolmo')) });
const tensor = (shape: number[], values: number[]): HostTensor => ({ dtype: 'float32', shape, values: Float32Array.from(values) });

describe('task arithmetic', () => {
  it('reports what changed, what has another shape, and what is on one side only', async () => {
    const { report } = await taskArithmetic({ ...models(), alpha: 0.7, embeddings: BOLMO_EMBEDDINGS });
    const names = report.changed.map((c) => c.name);
    expect(names).toContain('model.norm.weight');
    expect(names).toContain('model.local_encoder.subword_embedding.weight');
    expect(names.length).toBe(18);
    expect(report.skipped).toEqual([{ name: 'lm_head.weight', base: [16, 6], student: [20, 6] }]);
    expect(report.untouched.sort()).toEqual(['model.local_decoder.in_projection.bias', 'model.local_encoder.byte_embedding.weight', 'model.local_encoder.out_projection.weight']);
    expect(report.unused).toEqual([]);
    for (const c of report.changed) expect(c.change > 0 && c.relative > 0).toBe(true);
  });

  it('with alpha 0 changes nothing', async () => {
    const { state, report } = await taskArithmetic({ ...models(), alpha: 0 });
    for (const [name, t] of part('bolmo')) expect(state.get(name)!.values).toEqual(t.values);
    expect(report.unused).toEqual(['model.embed_tokens.weight']);
    expect(report.changed.every((c) => c.change === 0 && c.relative === 0)).toBe(true);
  });

  it('refuses models that cannot be subtracted, naming tensor and file', async () => {
    const m = models();
    const other = part('post');
    other.set('model.norm.weight', tensor([2], [1, 2]));
    other.delete('lm_head.weight');
    await expect(taskArithmetic({ ...m, tuned: source('other', other) })).rejects.toThrow(
      'differ in 2 tensors: lm_head.weight is not in other; model.norm.weight is (6) in base and (2) in other.',
    );
    await expect(taskArithmetic({ ...m, student: source('foreign', new Map([['x', tensor([1], [1])]])) })).rejects.toThrow('[taskArithmetic] foreign shares no tensor with base.');
  });
});

describe('bltFromLlama', () => {
  const suffixes = ['self_attn.v_proj.weight', 'self_attn.o_proj.weight', 'mlp.gate_proj.weight', 'mlp.down_proj.weight', 'mlp.up_proj.weight', 'input_layernorm.weight', 'post_attention_layernorm.weight'];
  // One layer of width 1, two heads of four channels, one key head: row r of q holds r.
  const llama = () =>
    source('llama', new Map<string, HostTensor>([
      ['model.layers.0.self_attn.q_proj.weight', tensor([8, 1], [0, 1, 2, 3, 4, 5, 6, 7])],
      ['model.layers.0.self_attn.k_proj.weight', tensor([4, 1], [0, 1, 2, 3])],
      ...suffixes.map((s, i) => [`model.layers.0.${s}`, tensor([1], [i])] as const),
      ['model.norm.weight', tensor([1], [9])],
    ]));

  it('puts rotary halves back to neighbours, head by head, and renames the rest', async () => {
    const state = await bltFromLlama(llama(), { numLayers: 1, numHeads: 2, numKvHeads: 1 });
    const at = (name: string) => [...state.get(`global_transformer.layers.0.${name}.weight`)!.values];
    expect(at('attention.wq')).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
    expect(at('attention.wk')).toEqual([0, 2, 1, 3]);
    expect(['attention.wv', 'attention.wo', 'feed_forward.w1', 'feed_forward.w2', 'feed_forward.w3', 'attention_norm', 'ffn_norm'].map((n) => at(n)[0])).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(state.size).toBe(9);
  });

  it('copies Meta\'s own layout as it is', async () => {
    const first = await bltFromLlama(llama(), { numLayers: 1, numHeads: 2, numKvHeads: 1, prefix: '' });
    const again = await bltFromLlama(source('meta', first), { numLayers: 1, numHeads: 2, numKvHeads: 1, prefix: '' });
    expect([...again]).toEqual([...first]);
  });

  it('refuses what is no Llama, layers that are not there, heads that do not fit', async () => {
    await expect(bltFromLlama(source('gpt', new Map([['wte', tensor([1], [1])]])), { numLayers: 1, numHeads: 1 })).rejects.toThrow('[bltFromLlama] gpt: expected a Llama');
    await expect(bltFromLlama(llama(), { numLayers: 2, numHeads: 2, numKvHeads: 1 })).rejects.toThrow('[bltFromLlama] llama has no tensor model.layers.1.self_attn.q_proj.weight.');
    await expect(bltFromLlama(llama(), { numLayers: 1, numHeads: 3 })).rejects.toThrow('expected 3 heads of an even width, got 8 rows.');
  });
});
