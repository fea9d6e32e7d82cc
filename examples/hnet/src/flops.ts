import { meanKeys } from '@bytelm/example-shared/model';
import { atStage, HEAD_DIM, parseStack, type ArchLayout, type HNetConfig } from './config.js';
import { mlpWidth } from './parameter-shapes.js';

export interface FlopsOptions {
  /** Measured bytes per chunk, stage by stage (positions of stage s per position of stage s+1). */
  positionsPerChunk: readonly number[];
  /** Positions that are averaged over, in bytes. Default 0 to 512. */
  from?: number;
  to?: number;
  /** One byte at a time: the recurrent form of the scan, without its matrices within a block. Default false. */
  decode?: boolean;
}

/**
 * Forward FLOPs per byte: true matmul sizes, 2 per multiply-add, causal half of attention, lookups and elementwise work 0. Training costs three
 * times as much. With an H-Net the inner stages cost their share of positions only.
 */
export function flopsPerByte(config: HNetConfig, options: FlopsOptions): number {
  const { positionsPerChunk, from = 0, to = 512, decode = false } = options;
  const stack = (layout: string, s: number, perByte: number): number => {
    const D = config.d_model[s]!;
    const window = config.attn_cfg.window_size[s]!;
    const keys = meanKeys(from * perByte, to * perByte, window < 0 ? Infinity : window + 1);
    const costs = parseStack(layout).map((letter) => {
      const mixer = letter === 'm' || letter === 'M' ? mamba(config, s, decode) : 8 * D * D + 4 * D * keys;
      return mixer + (letter === 'M' || letter === 'T' ? 6 * D * mlpWidth(config, s) : 0);
    });
    return perByte * costs.reduce((a, b) => a + b, 0);
  };
  const stage = (layout: ArchLayout, s: number, perByte: number): number => {
    if (layout.length === 1) return stack(layout[0], s, perByte);
    const D = config.d_model[s]!;
    const [encoder, inner, decoder] = layout;
    // Two projections of the router and one of the residual.
    return stack(encoder, s, perByte) + stack(decoder, s, perByte) + 6 * D * D * perByte + stage(inner, s + 1, perByte / positionsPerChunk[s]!);
  };
  return stage(config.arch_layout, 0, 1) + 2 * config.vocab_size * config.d_model[0]!;
}

function mamba({ d_model, ssm_cfg }: HNetConfig, s: number, decode: boolean): number {
  const D = d_model[s]!;
  const inner = atStage(ssm_cfg.expand, s) * D;
  const N = atStage(ssm_cfg.d_state, s);
  const Q = atStage(ssm_cfg.chunk_size, s);
  const projections = 2 * D * (2 * inner + 2 * N + inner / HEAD_DIM) + 2 * inner * D;
  const conv = 2 * atStage(ssm_cfg.d_conv, s) * (inner + 2 * N);
  const scan = decode ? 4 * inner * N : Q * N + Q * inner + 4 * inner * N + (2 * inner * N) / Q;
  return projections + conv + scan;
}
