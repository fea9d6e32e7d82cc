/** Helpers for tests of the command line. */
import { testCli } from '@bytelm/example-shared/testing';
import type { HNetConfig } from '../config.js';
import { runCli } from '../run-cli.js';

export { REPOSITORY, runsFolder, temporaryFolder, TEXT, writeJson } from '@bytelm/example-shared/testing';
export const { spawnCli, callCli, ok, fails } = testCli('hnet', runCli);

/** One Mamba-2 block around one attention block: trains in milliseconds. */
export const SMALL: HNetConfig = {
  arch_layout: ['m1', ['T1'], 'm1'],
  d_model: [32, 64],
  d_intermediate: [0, 128],
  vocab_size: 256,
  ssm_cfg: { chunk_size: 16, d_conv: 4, d_state: 16, expand: 2 },
  attn_cfg: { num_heads: [2, 2], rotary_emb_dim: [16, 16], window_size: [15, -1] },
  tie_embeddings: false,
};
