import { ResidualStack, type ResidualBlock, type Rng } from '@bytelm/core';
import { SwiGLU, TransformerBlock } from '@bytelm/latent-transformer';
import { Mamba2Block } from '@bytelm/mamba2';
import { atStage, HEAD_DIM, parseStack, type BlockLetter, type HNetConfig } from './config.js';

export interface BlockSettings {
  config: HNetConfig;
  stage: number;
  /** Standard deviation of projections back into the residual stream. */
  outInitStd: number;
}

type BlockFactory = (settings: BlockSettings, rng?: Rng) => ResidualBlock;

export const INIT_STD = 0.02;

/** One entry per letter: a new letter is a new line. Capitals carry a SwiGLU. */
export const BLOCKS: Record<BlockLetter, BlockFactory> = {
  m: (s, rng) => mamba2(s, rng),
  M: (s, rng) => mamba2(s, rng, swiglu(s, rng)),
  t: (s, rng) => transformer(s, rng, 0),
  T: (s, rng) => transformer(s, rng, hiddenSize(s)),
};

/** A stack of one string, e.g. `T1m4`: pre-norm blocks over a float32 residual stream and a norm at the end. */
export function isotropic(layout: string, settings: BlockSettings, rng?: Rng): ResidualStack {
  return new ResidualStack(parseStack(layout).map((letter, i) => BLOCKS[letter](settings, rng?.fork(`${i}`))));
}

/** How often a stack adds to its residual stream. */
export const additionsOf = (layout: string): number => parseStack(layout).reduce((n, l) => n + (l === 'M' || l === 'T' ? 2 : 1), 0);

function mamba2({ config, stage, outInitStd }: BlockSettings, rng?: Rng, mlp?: SwiGLU): Mamba2Block {
  const { d_state, d_conv, expand, chunk_size } = config.ssm_cfg;
  return new Mamba2Block(
    {
      dModel: config.d_model[stage]!,
      dState: atStage(d_state, stage),
      convWidth: atStage(d_conv, stage),
      expand: atStage(expand, stage),
      chunkSize: atStage(chunk_size, stage),
      headDim: HEAD_DIM,
      initStd: INIT_STD,
      outInitStd,
      ...(mlp && { mlp }),
    },
    rng,
  );
}

function transformer({ config, stage, outInitStd }: BlockSettings, rng: Rng | undefined, dIntermediate: number): TransformerBlock {
  const { num_heads, rotary_emb_dim, window_size } = config.attn_cfg;
  return new TransformerBlock(
    {
      dModel: config.d_model[stage]!,
      numHeads: num_heads[stage]!,
      rotaryDim: rotary_emb_dim[stage]!,
      windowSize: window_size[stage]!,
      dIntermediate,
      initStd: INIT_STD,
      outInitStd,
    },
    rng,
  );
}

/** Checkpoint: hidden sizes are rounded up to a multiple of 128. */
const hiddenSize = ({ config, stage }: BlockSettings): number => Math.ceil(config.d_intermediate[stage]! / 128) * 128;

/** `fc2(silu(gate) · value)`; Checkpoint: the first half of fc1 is the value. */
function swiglu(settings: BlockSettings, rng?: Rng): SwiGLU {
  const { config, stage, outInitStd } = settings;
  return new SwiGLU({ dModel: config.d_model[stage]!, dIntermediate: hiddenSize(settings), order: 'value-gate', initStd: INIT_STD, outInitStd }, rng?.fork('mlp'));
}
