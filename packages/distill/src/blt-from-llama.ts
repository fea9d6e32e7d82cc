import { CheckpointError, ConfigError } from '@bytelm/core';
import type { HostTensor, TensorSource } from '@bytelm/core/io';

export interface LlamaShape {
  numLayers: number;
  numHeads: number;
  /** Default: as many as heads. */
  numKvHeads?: number | undefined;
}

export interface BltFromLlamaOptions extends LlamaShape {
  /** In front of BLT's names. Default 'global_transformer.'. */
  prefix?: string;
}

/** Matrices of one layer: Hugging Face's name, Meta's own (which is BLT's), and whether rows are to be put back in order. */
const LAYER = [
  ['self_attn.q_proj.weight', 'attention.wq.weight', 'q'],
  ['self_attn.k_proj.weight', 'attention.wk.weight', 'k'],
  ['self_attn.v_proj.weight', 'attention.wv.weight', ''],
  ['self_attn.o_proj.weight', 'attention.wo.weight', ''],
  ['mlp.gate_proj.weight', 'feed_forward.w1.weight', ''],
  ['mlp.down_proj.weight', 'feed_forward.w2.weight', ''],
  ['mlp.up_proj.weight', 'feed_forward.w3.weight', ''],
  ['input_layernorm.weight', 'attention_norm.weight', ''],
  ['post_attention_layernorm.weight', 'ffn_norm.weight', ''],
] as const;

/**
 * The main network of a BLT out of a Llama: every layer weight, under BLT's names. Embedding, final norm and head have no counterpart there.
 *
 * Reads both layouts of Llama: Meta's own (`layers.0.attention.wq.weight`), which rotates neighbouring channels as BLT does and is copied,
 * and that of transformers (`model.layers.0.self_attn.q_proj.weight`), which rotates halves: rows of its q and k go back to neighbours.
 * Train the result with a tenth of the learning rate that the rest gets.
 *
 * @throws CheckpointError naming file and tensor; ConfigError when heads and shapes disagree.
 * @source BLT, arXiv 2412.09871, section 6.2 ("Initializing from Llama 3.1").
 */
export async function bltFromLlama(llama: TensorSource, { numLayers, numHeads, numKvHeads = numHeads, prefix = 'global_transformer.' }: BltFromLlamaOptions): Promise<Map<string, HostTensor>> {
  const isPublic = llama.has('model.layers.0.self_attn.q_proj.weight');
  if (!isPublic && !llama.has('layers.0.attention.wq.weight')) {
    throw new CheckpointError(`[bltFromLlama] ${llama.name}: expected a Llama (model.layers.0.self_attn.q_proj.weight or layers.0.attention.wq.weight), got ${llama.names.slice(0, 3).join(', ')}, ….`);
  }
  const state = new Map<string, HostTensor>();
  for (let i = 0; i < numLayers; i++) {
    for (const [theirs, ours, rotated] of LAYER) {
      const name = isPublic ? `model.layers.${i}.${theirs}` : `layers.${i}.${ours}`;
      if (!llama.has(name)) throw new CheckpointError(`[bltFromLlama] ${llama.name} has no tensor ${name}. Hint: ${numLayers} layers were asked for; biases and other norms have no place in BLT.`);
      const tensor = await llama.read(name);
      const heads = rotated === 'q' ? numHeads : numKvHeads;
      state.set(`${prefix}layers.${i}.${ours}`, isPublic && rotated ? neighbours(tensor, heads, name) : tensor);
    }
  }
  return state;
}

/** Rows of each head from (first half, second half) to (0, half, 1, half + 1, …). */
function neighbours({ dtype, shape, values }: HostTensor, heads: number, name: string): HostTensor {
  const [rows, width] = shape as [number, number];
  const dim = rows / heads;
  if (!Number.isInteger(dim) || dim % 2) throw new ConfigError(`[bltFromLlama] ${name}: expected ${heads} heads of an even width, got ${rows} rows.`);
  const out = new Float32Array(values.length);
  for (let h = 0; h < heads; h++)
    for (let r = 0; r < dim; r++) {
      const from = h * dim + (r % 2) * (dim / 2) + (r >> 1);
      out.set((values as Float32Array).subarray(from * width, (from + 1) * width), (h * dim + r) * width);
    }
  return { dtype, shape: [...shape], values: out };
}
