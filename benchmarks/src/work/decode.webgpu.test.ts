import { observeDispatches } from '@bytelm/core/webgpu';
import { Rng } from '@bytelm/core';
import { expectNoLeak, useBackend } from '@bytelm/core/testing';
import { createHNet, type HNetConfig } from '@bytelm/example-hnet';
import { beforeAll, expect, it } from 'vitest';
import { benchDecode, decodeText } from './decode.js';

const config: HNetConfig = {
  arch_layout: ['T1', ['T1'], 'T1'],
  d_model: [64, 64],
  d_intermediate: [128, 128],
  vocab_size: 256,
  ssm_cfg: { chunk_size: 64, d_conv: 4, d_state: 64, expand: 2 },
  attn_cfg: { num_heads: [1, 1], rotary_emb_dim: [32, 32], window_size: [-1, -1] },
  tie_embeddings: false,
};
const PROMPT = 20;
const text = Uint8Array.from('Decoding goes by what generate decodes with on the backend; on webgpu that is a step recorded once.', (c) => c.charCodeAt(0));

beforeAll(() => useBackend('webgpu'));

it('decodes with a recorded step, and what it says of a text that is fed is what stepping says', () =>
  expectNoLeak(async () => {
    const model = createHNet(config, { rng: new Rng(3) });
    const ids = Int32Array.from(text).subarray(0, PROMPT + 24);
    const decoded = (recorded: boolean) => decodeText(model, ids.slice(0, PROMPT), ids.subarray(PROMPT), recorded);
    const stepped = await decoded(false);
    const dispatched: string[] = [];
    const stop = observeDispatches(({ key }) => dispatched.push(key));
    const recorded = await decoded(true);
    stop();
    expect([recorded.best, recorded.fired]).toEqual([stepped.best, stepped.fired]);
    expect(new Set(recorded.best).size).toBeGreaterThan(1);
    expect(dispatched.filter((key) => key.startsWith('report of 1 stages'))).toHaveLength(1);

    const settings = { seconds: 1e-3, prompt: 8, fresh: 4 };
    const loaded = { model, offset: 0, bos: 254 };
    const own = await benchDecode(loaded, text, settings);
    expect(own).toMatchObject({ recorded: true, runs: 4 });
    expect(await benchDecode(loaded, text, { ...settings, recorded: false })).toMatchObject({ recorded: false, bytesPerChunk: own.bytesPerChunk });
    model.dispose();
  }));
