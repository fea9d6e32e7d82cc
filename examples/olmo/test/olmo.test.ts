import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Rng } from '@bytelm/core';
import { saveSafetensors } from '@bytelm/core/io';
import { fixtureRoot, useBackend } from '@bytelm/core/testing';
import { temporaryFolder, testCli } from '@bytelm/example-shared/testing';
import { createSourceLM, evaluateText, fromHfConfig, generateText, loadSourceLM, loadTokenizer, openSource, parameterShapes } from '../src/index.js';
import { runCli } from '../src/run-cli.js';

const bolmo = join(fixtureRoot(), 'bolmo');
const published = (name: string): Record<string, unknown> => JSON.parse(readFileSync(join(bolmo, name, 'config.json'), 'utf8'));
const { callCli } = testCli('olmo', runCli);
const folder = temporaryFolder();

/** Llama 3's configuration, tiny. */
const LLAMA = {
  model_type: 'llama', vocab_size: 341, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, intermediate_size: 24, rms_norm_eps: 1e-5, rope_theta: 500000,
  rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8 },
  max_position_embeddings: 64, tie_word_embeddings: true, bos_token_id: 337, eos_token_id: [337, 339], hidden_act: 'silu', attention_bias: false,
};

/** A model folder as Hugging Face has it: random weights and the toy tokenizer. */
async function modelFolder(name: string, config: Record<string, unknown>): Promise<string> {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  cpSync(join(bolmo, 'toy_tokenizer'), path, { recursive: true });
  writeFileSync(join(path, 'config.json'), JSON.stringify(config));
  const model = createSourceLM(fromHfConfig(config), new Rng(3));
  await saveSafetensors(new Map([...model.parameters()].filter(([n]) => n !== 'lm_head.weight' || !config.tie_word_embeddings)), join(path, 'model.safetensors'));
  model.dispose();
  return path;
}

describe('configurations', () => {
  it('reads windows and scaling of Olmo 3 per layer', () => {
    const c = fromHfConfig(published('olmo3_tiny_yarn'));
    expect(c.windows).toEqual([6, 6, 6, -1]);
    expect(c.rotaryScaling.map((s) => s?.type)).toEqual([undefined, undefined, undefined, 'yarn']);
    expect(fromHfConfig({ ...published('olmo3_tiny_yarn'), layer_types: null }).windows).toEqual([6, 6, 6, -1]);
    expect(fromHfConfig(published('olmo2_tiny')).windows).toEqual([-1, -1, -1]);
    expect(fromHfConfig(LLAMA)).toMatchObject({ architecture: 'llama', isTied: true, eos: [337, 339], headDim: 4 });
  });

  it('reports keys it does not know, and refuses what it cannot build, all at once', () => {
    expect(fromHfConfig({ ...LLAMA, partial_rotary_factor: 0.5 }).unknownKeys).toEqual(['partial_rotary_factor']);
    expect(() => fromHfConfig({ ...LLAMA, hidden_act: 'gelu', attention_bias: true, hidden_size: -4, rope_scaling: { rope_type: 'longrope' } })).toThrow(
      /hidden_act: expected "silu", got "gelu"; attention_bias: expected false, got true; hidden_size: expected a positive whole number, got -4; .*longrope/,
    );
    expect(() => fromHfConfig({ model_type: 'gpt2' })).toThrow('[fromHfConfig] model_type: expected olmo2, olmo3, llama, got "gpt2".');
    expect(() => fromHfConfig({ ...published('olmo3_tiny'), layer_types: ['full_attention'] })).toThrow('layer_types: expected one for each of 5 layers, got 1');
  });
});

describe('source models', () => {
  beforeAll(() => useBackend('wasm'));

  it.each(['olmo2_tiny', 'olmo3_tiny', 'llama'])('%s: the shapes that inspect counts are those of the model', (name) => {
    const config = fromHfConfig(name === 'llama' ? LLAMA : published(name));
    const model = createSourceLM(config);
    const made = new Map([...model.parameters()].map(([n, v]) => [n, v.shape as number[]]));
    if (config.isTied) made.delete('lm_head.weight');
    expect(new Map([...parameterShapes(config)].sort())).toEqual(new Map([...made].sort()));
    model.dispose();
  });

  it('writes text, scores text: the whole is the sum of its windows', async () => {
    const source = await openSource(await modelFolder('llama', LLAMA));
    const tokenizer = await loadTokenizer(source);
    const model = await loadSourceLM(source);
    const ids: number[] = [];
    let text = '';
    for await (const token of generateText(model, tokenizer, source.config, 'the flower', { maxTokens: 12, temperature: 0 })) {
      if (token.id >= 0) ids.push(token.id);
      text += token.text;
    }
    expect(ids.length).toBeGreaterThan(0);
    expect(text).toBe(tokenizer.decode(ids));
    const prose = 'the flowerbed among flowers, and another flower. '.repeat(3);
    const whole = await evaluateText(model, tokenizer, source.config, prose, { window: 500 });
    const stepped = await evaluateText(model, tokenizer, source.config, prose, { window: 500, stride: 7, batch: 2 });
    expect(whole.tokens).toBe(tokenizer.encode(prose).length);
    expect(whole.bitsPerByte).toBeCloseTo(stepped.bitsPerByte, 5);
    expect(whole.bitsPerByte).toBeCloseTo(whole.nats / Math.LN2 / prose.length, 10);
    // An untrained model is about as good as guessing among its rows.
    expect(Math.abs(whole.nats / whole.tokens - Math.log(341))).toBeLessThan(0.5);
    const short = await evaluateText(model, tokenizer, source.config, prose, { window: 16, stride: 8, batch: 3 });
    expect(short.tokens).toBe(whole.tokens);
    expect(short.nats).not.toBe(whole.nats);
    model.dispose();
  });

  it('refuses a tokenizer that has more tokens than the model, and tensors that do not fit', async () => {
    const small = await openSource(await modelFolder('small', { ...LLAMA, vocab_size: 300 }));
    await expect(loadTokenizer(small)).rejects.toThrow(/small gives logits for 300 tokens, .*tokenizer.json has 340/);
    await small.files.close();
    const path = await modelFolder('wide', LLAMA);
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...LLAMA, intermediate_size: 32 }));
    await expect(loadSourceLM(await openSource(path))).rejects.toThrow('6 wrong shape');
  });
});

describe('command line', () => {
  it('inspects, generates, evaluates', async () => {
    const path = await modelFolder('cli', { ...LLAMA, partial_rotary_factor: 1 });
    const seen = await callCli('inspect', path, '--load');
    expect(seen.stderr).toContain('all values were read and are finite');
    expect(seen.stdout).toContain('llama, ');
    expect(seen.stdout).toContain('llama3 scaling by 8 in 2 layers');
    expect(seen.stdout).toContain('340 tokens (byte-level), text ends with <|endoftext|>');
    expect(seen.stdout).toContain('keys of config.json that mean nothing here: partial_rotary_factor');
    const made = await callCli('generate', '--model', path, '--prompt', 'the', '--max-tokens', '5', '--temperature', '0', '--backend', 'wasm', '--json');
    const { prompt, tokens } = JSON.parse(made.stdout) as { prompt: string; tokens: number[] };
    expect([prompt, tokens.length]).toEqual(['the', 5]);
    const data = join(folder, 'text.txt');
    writeFileSync(data, 'the flowers and the flowerbed');
    const scored = await callCli('evaluate', '--model', path, '--data', data, '--backend', 'wasm', '--json');
    expect(JSON.parse(scored.stdout)).toMatchObject({ bytes: 29, window: 512, stride: 256 });
    expect(scored.code).toBe(0);
  });

  it('says what is wrong', async () => {
    const path = await modelFolder('odd', LLAMA);
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...LLAMA, num_hidden_layers: 3 }));
    const { code, stderr } = await callCli('inspect', path);
    expect(code).toBe(1);
    expect(stderr).toContain('9 missing, 0 unexpected, 0 wrong shape');
    expect((await callCli('generate', '--model', join(folder, 'nowhere'), '--prompt', 'x')).stderr).toContain('expected a folder, a weight file or a repository');
    expect((await callCli('evaluate', '--model', path, '--data', join(folder, 'none.txt'))).stderr).toContain('it cannot be read');
  });
});
