import { parameterShapes as bodyShapes } from '@bytelm/example-olmo';
import type { BolmoConfig } from './config.js';

/** Names and shapes of every stored tensor of a configuration, without making one: what a checkpoint of it must hold. */
export function parameterShapes({ body, local, vocabSize, subwordVocabSize }: BolmoConfig): Map<string, number[]> {
  const { dModel: D } = body;
  const out = new Map<string, number[]>();
  const encoder = 'model.local_encoder';
  const decoder = 'model.local_decoder';
  out.set(`${encoder}.byte_embedding.weight`, [vocabSize, D]);
  if (subwordVocabSize) out.set(`${encoder}.subword_embedding.weight`, [subwordVocabSize, D]);
  for (const [part, layers] of [[encoder, local.encoderLayers], [decoder, local.decoderLayers]] as const) {
    for (let i = 0; i < layers; i++) for (const [name, shape] of localLayer(D, local)) out.set(`${part}.layers.${i}.${name}`, shape);
  }
  out.set(`${encoder}.post_last_block_norm.weight`, [D]);
  for (const name of ['q_proj_layer', 'k_proj_layer']) out.set(`${encoder}.boundary_predictor_module.${name}.weight`, [D, D]);
  for (const name of [`${encoder}.out_projection`, `${decoder}.in_projection`]) {
    out.set(`${name}.weight`, [D, D]);
    out.set(`${name}.bias`, [D]);
  }
  out.set(`${decoder}.initial_norm.weight`, [D]);
  for (const [name, shape] of bodyShapes(body)) if (name.startsWith('model.layers.')) out.set(name, shape);
  out.set('model.norm.weight', [D]);
  out.set('lm_head.weight', [vocabSize, D]);
  return out;
}

function localLayer(D: number, { numHeads: H, dIntermediate: F }: BolmoConfig['local']): [string, number[]][] {
  return [
    ['pre_xlstm_layernorm.weight', [D]],
    ['xlstm.q.weight', [D / 2, D]],
    ['xlstm.k.weight', [D / 2, D]],
    ...['v', 'ogate_preact', 'out_proj'].map((p): [string, number[]] => [`xlstm.${p}.weight`, [D, D]]),
    ...['igate_preact', 'fgate_preact'].flatMap((p): [string, number[]][] => [[`xlstm.${p}.weight`, [H, D]], [`xlstm.${p}.bias`, [H]]]),
    ['xlstm.multihead_norm.weight', [D]],
    ['pre_feedforward_layernorm.weight', [D]],
    ['mlp.gate_proj.weight', [F, D]],
    ['mlp.up_proj.weight', [F, D]],
    ['mlp.down_proj.weight', [D, F]],
  ];
}
