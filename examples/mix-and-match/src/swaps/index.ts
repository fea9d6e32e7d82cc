import { attentionEncoderInHNet, attentionInHNet } from './attention-in-hnet.js';
import { crossAttentionInHNet, crossAttentionPoolInHNet } from './cross-attention-in-hnet.js';
import { hnetMainInBLT } from './hnet-in-blt.js';
import { mamba2MainInBLT } from './mamba2-in-blt.js';
import { mlstmEncoderInBLT, mlstmInHNet } from './mlstm.js';
import { entropyPatcherInHNet, spacePatcherInHNet } from './patchers-in-hnet.js';
import { routingAndSmoothingInBLT, routingInBLT } from './routing-in-blt.js';
import type { Swap } from '../swap.js';

/** Every swap, by the model it changes; first of each, the model as it is. */
export const SWAPS: readonly Swap[] = [
  { name: 'hnet', base: 'hnet', title: 'H-Net as it is', swap: (hnet) => hnet },
  { name: 'hnet-entropy', base: 'hnet', title: 'cut by entropies', swap: entropyPatcherInHNet },
  { name: 'hnet-space', base: 'hnet', title: 'cut at spaces', swap: spacePatcherInHNet },
  { name: 'hnet-attention-encoder', base: 'hnet', title: 'attention encoder', swap: attentionEncoderInHNet },
  { name: 'hnet-attention', base: 'hnet', title: 'attention encoder and decoder', swap: attentionInHNet },
  { name: 'hnet-cross-attention-pool', base: 'hnet', title: 'chunks pooled by cross-attention', swap: crossAttentionPoolInHNet },
  { name: 'hnet-cross-attention', base: 'hnet', title: 'cross-attention down and up', swap: crossAttentionInHNet },
  { name: 'hnet-mlstm', base: 'hnet', title: 'mLSTM encoder and decoder', swap: mlstmInHNet },
  { name: 'blt', base: 'blt', title: 'BLT as it is', swap: (blt) => blt },
  { name: 'blt-routing', base: 'blt', title: "H-Net's router", swap: routingInBLT },
  { name: 'blt-routing-smoothing', base: 'blt', title: "H-Net's router and upsampler", swap: routingAndSmoothingInBLT },
  { name: 'blt-mamba2-main', base: 'blt', title: 'Mamba-2 main network', swap: mamba2MainInBLT },
  { name: 'blt-hnet-main', base: 'blt', title: 'H-Net as main network', swap: hnetMainInBLT },
  { name: 'blt-mlstm-encoder', base: 'blt', title: 'mLSTM local encoder', swap: mlstmEncoderInBLT },
];

export * from './attention-in-hnet.js';
export * from './cross-attention-in-hnet.js';
export * from './hnet-in-blt.js';
export * from './mamba2-in-blt.js';
export * from './mlstm.js';
export * from './patchers-in-hnet.js';
export * from './routing-in-blt.js';
