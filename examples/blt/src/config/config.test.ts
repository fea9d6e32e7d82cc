import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fixtureRoot } from '@bytelm/core/testing';
import { BLT_PRESETS, ENTROPY_PRESETS } from '../presets.js';
import { parseBLTConfig, parseEntropyConfig, resolveBLTConfig, writeBLTConfig, writeEntropyConfig, type BLTConfig } from './index.js';

const json = (...path: string[]) => JSON.parse(readFileSync(join(fixtureRoot(), 'blt', ...path), 'utf8')) as Record<string, any>;
const port = () => json('full_k3_projection_sharded', 'config.json');
const original = () => json('full_documents_original_names', 'config.json');
const params = () => json('full_documents_original_names', 'params.json');

describe('transformers format', () => {
  it('reads sub-configurations', () => {
    const { config, format, unknown } = parseBLTConfig(port());
    expect([format, unknown]).toEqual(['transformers', {}]);
    expect(config.encoder).toEqual({ dModel: 16, numLayers: 2, numHeads: 2, numKvHeads: 2, dIntermediate: 48, theta: 500_000, normEps: 1e-5, window: 6 });
    // The decoder's own window is missing: it is the one at the top.
    expect([config.decoder.window, config.global.window, config.global.numKvHeads]).toEqual([6, null, 1]);
    expect(config.crossAttention).toMatchObject({ queriesPerChunk: 3, encoderLayers: 'last', decoderLayers: 'all' });
    expect(config.hash).toEqual({ sizes: [2, 4], vocabularySize: 131, numFunctions: 2 });
    expect(config.entropyModel).toMatchObject({ dModel: 24, theta: 10_000, window: 5 });
    expect(config.eosId).toBe(2);
  });

  it('an empty file is the 1B model', () => {
    const { config } = parseBLTConfig({ model_type: 'blt' });
    expect(config).toEqual(BLT_PRESETS['blt-1b']!.config);
  });

  it('older files keep the rotary base and the epsilon elsewhere', () => {
    const old = { model_type: 'blt', norm_eps: 2e-5, rope_theta: 1000, encoder_config: { hidden_size: 64, num_attention_heads: 2, rope_theta: 77 }, patcher_config: { rope_theta: 55, norm_eps: 3e-5 }, decoder_config: { hidden_size: 64, num_attention_heads: 2 } };
    const { config } = parseBLTConfig(old);
    expect([config.encoder.theta, config.decoder.theta, config.global.theta, config.entropyModel!.theta]).toEqual([77, 1000, 1000, 55]);
    expect([config.encoder.normEps, config.entropyModel!.normEps]).toEqual([2e-5, 3e-5]);
    // Not int(8 * 64 / 3): the weights of published files are rounded up.
    expect(config.encoder.dIntermediate).toBe(256);
  });

  it('lists every problem at once', () => {
    const bad = port();
    bad.encoder_config.hidden_size = -3;
    bad.decoder_config.num_attention_heads = 'two';
    bad.global_config.encoder_cross_output_size = 7;
    bad.global_config.rope_parameters = { rope_type: 'yarn', rope_theta: 5 };
    bad.patching_mode = 'guess';
    bad.tie_word_embeddings = true;
    const message = messageOf(() => parseBLTConfig(bad));
    for (const what of ['encoder_config.hidden_size: expected a whole number above 0, got -3', 'decoder_config.num_attention_heads: expected a whole number above 0, got "two"', 'encoder_cross_output_size: 7', 'rope_type: "yarn" is not supported', 'patching_mode: expected one of', 'tie_word_embeddings: true is not supported']) {
      expect(message).toContain(what);
    }
  });

  it('keeps and reports unknown keys, and writes them back where they were', () => {
    const odd = port();
    odd.my_note = { a: 1 };
    odd.global_config.new_switch = true;
    const parsed = parseBLTConfig(odd);
    expect(parsed.unknown).toEqual({ my_note: { a: 1 }, 'global_config.new_switch': true });
    const back = writeBLTConfig(parsed.config, 'transformers', parsed).config as any;
    expect([back.my_note, back.global_config.new_switch, back.initializer_range]).toEqual([{ a: 1 }, true, 0.02]);
    const other = writeBLTConfig({ ...parsed.config, hash: { ...parsed.config.hash }, entropyModel: null }, 'original', parsed).config as any;
    expect(other.unknown_keys).toEqual(parsed.unknown);
  });
});

describe('original format', () => {
  it('reads args, and the entropy model of params.json', () => {
    const { config, format, unknown } = parseBLTConfig(original(), params());
    expect([format, unknown]).toEqual(['original', {}]);
    expect(config.encoder).toEqual({ dModel: 16, numLayers: 2, numHeads: 2, numKvHeads: 2, dIntermediate: 48, theta: 500_000, normEps: 1e-5, window: 9 });
    expect(config.global).toMatchObject({ numKvHeads: 1, dIntermediate: 112, window: null });
    expect(config.crossAttention).toMatchObject({ encoderLayers: 'all', decoderLayers: 'all' });
    expect(config.entropyModel).toMatchObject({ dModel: 24, dIntermediate: 64, window: 7, theta: 10_000 });
    expect(parseBLTConfig(original()).config.entropyModel).toBeNull();
  });

  it('a params.json holds model, entropy model and patching together', () => {
    const { config } = parseBLTConfig({ model: { ...original().args, encoder_hash_byte_group_size: '3, 8' }, entropy_model: params().entropy_model, data: { patcher_args: { threshold: 0.5, threshold_add: 0.1, max_patch_length: 9 } } });
    expect(config.hash.sizes).toEqual([3, 8]);
    expect(config.patching).toMatchObject({ threshold: 0.5, addThreshold: 0.1, maxPatchLength: 9 });
    expect(config.entropyModel!.dModel).toBe(24);
  });

  it("takes the entropy model's rotary base as its loader does, not as its file says; a missing window is 512", () => {
    const { entropy_model: own } = params();
    expect(parseEntropyConfig({ entropy_model: { ...own, rope_theta: 500_000, sliding_window: null } }).config).toMatchObject({ theta: 10_000, window: 512 });
    expect(parseEntropyConfig({ args: { ...own, rope_theta: 700 } }).config.theta).toBe(700);
  });

  it('refuses branches that no release uses, all at once', () => {
    const bad = original();
    Object.assign(bad.args, { cross_attn_encoder: false, downsampling_by_pooling: 'mean', pm_size: 3, dim_token: 9, weight_tying: true, n_heads_global: 7, cross_attn_window_encoder: 2 });
    delete bad.args.dim_global;
    const message = messageOf(() => parseBLTConfig(bad));
    for (const key of ['cross_attn_encoder: false', 'downsampling_by_pooling: "mean"', 'pm_size: 3', 'dim_token: 9', 'weight_tying: true', 'dim_global: expected a whole number above 0, got nothing']) expect(message).toContain(key);
    expect(() => parseBLTConfig({ args: { ...original().args, cross_attn_window_encoder: 2 } })).toThrow(/cross-attention over 2 and 1 patches/);
  });
});

describe('either format', () => {
  const sameAfter = (config: BLTConfig, format: 'original' | 'transformers') => {
    const written = writeBLTConfig(config, format);
    return parseBLTConfig(JSON.parse(JSON.stringify(written.config)), written.params).config;
  };

  it.each(Object.entries(BLT_PRESETS))('%s survives being written and read', (_, { config }) => {
    expect(sameAfter(config, 'transformers')).toEqual(config);
    expect(sameAfter(config, 'original')).toEqual(config);
  });

  it.each(Object.entries(ENTROPY_PRESETS))('%s survives being written and read', (_, { config }) => {
    for (const format of ['transformers', 'original'] as const) expect(parseEntropyConfig(writeEntropyConfig(config, format)).config).toEqual(config);
  });

  it('says what a format cannot', () => {
    const { config } = BLT_PRESETS['blt-tiny']!;
    expect(() => writeBLTConfig({ ...config, crossAttention: { ...config.crossAttention, decoderHeads: 4 } }, 'transformers')).toThrow(/cannot say: cross-attention heads/);
    expect(() => writeBLTConfig({ ...config, decoder: { ...config.decoder, theta: 7, window: 3 } }, 'original')).toThrow(/different rotary bases; different windows/);
  });

  it('other files are told apart', () => {
    expect(() => parseBLTConfig(params())).toThrow(/this is an entropy model, not a BLT/);
    expect(() => parseBLTConfig({ model_type: 'llama', hidden_size: 3 })).toThrow(/another model/);
    expect(() => parseBLTConfig([])).toThrow(/expected an object/);
    expect(() => parseEntropyConfig(original())).toThrow(/EntropyModelConfig/);
  });

  it('contradictions are listed together', () => {
    const { config } = BLT_PRESETS['blt-tiny']!;
    const bad = { ...config, decoder: { ...config.decoder, dModel: 100, numHeads: 3 }, hash: { ...config.hash, sizes: [3, 3] }, patching: { ...config.patching, mode: 'static' as const } };
    const message = messageOf(() => resolveBLTConfig(bad));
    for (const what of ["decoder's width 100 must be the encoder's, 96", '3 heads do not divide the width 100', 'n-gram sizes 3, 3', 'static patches need a whole number']) expect(message).toContain(what);
  });
});

function messageOf(f: () => unknown): string {
  try {
    f();
  } catch (e) {
    return (e as Error).message;
  }
  throw new Error('expected an error');
}
