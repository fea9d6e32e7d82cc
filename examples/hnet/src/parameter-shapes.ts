import { atStage, HEAD_DIM, parseStack, type ArchLayout, type HNetConfig } from './config.js';

/**
 * Names and shapes of every stored tensor of a configuration, without making one: what a checkpoint of it must hold.
 * Tied heads appear under both names.
 */
export function parameterShapes(config: HNetConfig): Map<string, number[]> {
  const out = new Map<string, number[]>();
  const embedding = [config.vocab_size, config.d_model[0]!];
  out.set('embeddings.weight', embedding);
  stage(out, 'backbone', config.arch_layout, 0, config);
  out.set('lm_head.weight', embedding);
  return out;
}

function stage(out: Map<string, number[]>, prefix: string, layout: ArchLayout, s: number, config: HNetConfig): void {
  const D = config.d_model[s]!;
  const outer = s > 0 ? config.d_model[s - 1]! : D;
  if (D > outer) out.set(`${prefix}.pad_dimension`, [D - outer]);
  if (layout.length === 1) return stack(out, `${prefix}.main_network`, layout[0], s, config);
  const [encoder, inner, decoder] = layout;
  stack(out, `${prefix}.encoder`, encoder, s, config);
  for (const which of ['q', 'k']) out.set(`${prefix}.routing_module.${which}_proj_layer.weight`, [D, D]);
  out.set(`${prefix}.residual_proj.weight`, [D, D]);
  out.set(`${prefix}.residual_proj.bias`, [D]);
  stage(out, `${prefix}.main_network`, inner, s + 1, config);
  stack(out, `${prefix}.decoder`, decoder, s, config);
}

function stack(out: Map<string, number[]>, prefix: string, layout: string, s: number, config: HNetConfig): void {
  const D = config.d_model[s]!;
  parseStack(layout).forEach((letter, i) => {
    const at = `${prefix}.layers.${i}`;
    out.set(`${at}.norm1.weight`, [D]);
    if (letter === 't' || letter === 'T') {
      out.set(`${at}.mixer.Wqkv.weight`, [3 * D, D]);
      out.set(`${at}.mixer.out_proj.weight`, [D, D]);
    } else mamba(out, `${at}.mixer`, D, s, config);
    if (letter === 'T' || letter === 'M') {
      const hidden = mlpWidth(config, s);
      out.set(`${at}.norm2.weight`, [D]);
      out.set(`${at}.mlp.fc1.weight`, [2 * hidden, D]);
      out.set(`${at}.mlp.fc2.weight`, [D, hidden]);
    }
  });
  out.set(`${prefix}.rmsnorm.weight`, [D]);
}

function mamba(out: Map<string, number[]>, at: string, D: number, s: number, { ssm_cfg }: HNetConfig): void {
  const inner = atStage(ssm_cfg.expand, s) * D;
  const states = atStage(ssm_cfg.d_state, s);
  const heads = inner / HEAD_DIM;
  out.set(`${at}.dt_bias`, [heads]);
  out.set(`${at}.A_log`, [heads]);
  out.set(`${at}.D`, [heads]);
  out.set(`${at}.in_proj.weight`, [2 * inner + 2 * states + heads, D]);
  out.set(`${at}.conv1d.weight`, [inner + 2 * states, 1, atStage(ssm_cfg.d_conv, s)]);
  out.set(`${at}.conv1d.bias`, [inner + 2 * states]);
  out.set(`${at}.norm.weight`, [inner]);
  out.set(`${at}.out_proj.weight`, [D, inner]);
}

/** SwiGLU's hidden size: rounded up to a multiple of 128. */
export const mlpWidth = (config: HNetConfig, s: number): number => Math.ceil(config.d_intermediate[s]! / 128) * 128;
