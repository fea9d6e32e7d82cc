import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openSafetensors } from '@bytelm/core/io';
import { useBackend, fixtureRoot } from '@bytelm/core/testing';
import { SubwordTokenizer } from '@bytelm/distill';
import { temporaryFolder, testCli, TEXT } from '@bytelm/example-shared/testing';
import { readLines } from '@bytelm/example-shared/train';
import { decodeText } from '../src/train/decode-text.js';
import { fromHfConfig, loadSourceLM, loadTokenizer, openSource, parameterShapes, cachedTokens, tokensOfText } from '../src/index.js';
import { runCli } from '../src/run-cli.js';

const toy = join(fixtureRoot(), 'bolmo', 'toy_tokenizer');
const { callCli } = testCli('olmo', runCli);
const folder = temporaryFolder();
const data = join(folder, 'text.txt');
writeFileSync(data, TEXT);

const MICRO = ['--preset', 'micro', '--batch', '2', '--length', '64', '--backend', 'wasm', '--eval-bytes', '256'];
const fresh = (out: string, ...more: string[]) => callCli('train', '--tokenizer', toy, '--data', data, ...MICRO, '--out', out, ...more);
const weightsOf = (out: string): Buffer => readFileSync(join(out, 'model.safetensors'));

describe('text into tokens', () => {
  it('pieces have the tokens of the whole', async () => {
    const tokenizer = await SubwordTokenizer.fromFolder(toy);
    const text = `${TEXT.repeat(12)}ein Käfer — \n\n  and   more`;
    const bytes = new TextEncoder().encode(text);
    expect(bytes.length).toBeGreaterThan(65_536);
    expect(tokensOfText(bytes, tokenizer, 'text')).toEqual(tokenizer.encode(text));
  });

  it('are kept for the next start, with their text and tokenizer; what is damaged or another\'s is made anew', async () => {
    const tokenizer = await SubwordTokenizer.fromFolder(toy);
    const cache = join(folder, 'tokens');
    let encoded = 0;
    const counting = new SubwordTokenizer({ encode: (...args) => (encoded++, tokenizer.encoder.encode(...args)) }, tokenizer.vocabulary, tokenizer.fingerprint);
    const warnings: string[] = [];
    const of = async (text: string, by = counting, to: string | null = cache) => {
      encoded = 0;
      const bytes = new TextEncoder().encode(text);
      const ids = await cachedTokens(bytes, by, 'text', { folder: to, onWarning: (message) => warnings.push(message) });
      expect(ids).toEqual(tokensOfText(bytes, tokenizer, 'text'));
      return encoded;
    };
    expect(await of(TEXT)).toBe(1);
    expect(await of(TEXT)).toBe(0);
    expect(await of(`${TEXT}more`)).toBe(1);
    expect(await of(TEXT, new SubwordTokenizer(counting.encoder, tokenizer.vocabulary, 'another'))).toBe(1);
    expect(readdirSync(cache)).toHaveLength(3);
    expect(await of(TEXT, new SubwordTokenizer(counting.encoder, tokenizer.vocabulary))).toBe(1);
    expect(await of(TEXT, counting, null)).toBe(1);
    expect(readdirSync(cache)).toHaveLength(3);
    expect(warnings).toEqual([]);
    // A value changed, the end cut off, something else: each is noticed once.
    const damages: ((file: Buffer) => Buffer)[] = [(b) => (b.writeUInt8(b.at(-4)! ^ 1, b.length - 4), b), (b) => b.subarray(0, -8), () => Buffer.from('tokens')];
    for (const damage of damages) {
      for (const name of readdirSync(cache)) writeFileSync(join(cache, name), damage(readFileSync(join(cache, name))));
      expect(await of(TEXT)).toBe(1);
      expect(warnings.pop()).toMatch(/tokens-\w{16}\.safetensors is damaged/);
      expect(await of(TEXT)).toBe(0);
    }
    // Nowhere to write: the run goes on.
    writeFileSync(join(folder, 'a-file'), '');
    expect(await of(TEXT, counting, join(folder, 'a-file'))).toBe(1);
    expect(warnings.pop()).toContain('the tokens are not kept');
  });

  it('leaves out characters that the range cuts, and refuses other bytes', () => {
    const bytes = new TextEncoder().encode('é—x😀');
    for (let start = 0; start < 2; start++)
      for (let end = bytes.length - 3; end <= bytes.length; end++) {
        expect(decodeText(bytes.subarray(start, end), 'cut')).toBe(`${start ? '' : 'é'}—x${end === bytes.length ? '😀' : ''}`);
      }
    expect(() => decodeText(Uint8Array.of(65, 0xff, 66), 'odd.txt')).toThrow('odd.txt: expected UTF-8');
  });
});

describe('olmo train', () => {
  beforeAll(() => useBackend('wasm'));

  it('learns; the folder is a model as Hugging Face has it', async () => {
    const out = join(folder, 'run');
    const { code, stderr } = await fresh(out, '--steps', '30', '--eval-every', '15', '--lr', '1e-2');
    expect(code, stderr).toBe(0);
    const log = readLines(join(out, 'log.jsonl'));
    const evaluated = log.filter((l) => l.type === 'evaluation').map((l) => l.bitsPerByte as number);
    expect(evaluated).toHaveLength(2);
    expect(evaluated[1]).toBeLessThan(3.5);
    const steps = log.filter((l) => l.type === 'step');
    const { loss, crossEntropy, bytes } = steps[0] as Record<string, number>;
    // Rows of 64 bytes on average; the loss is that of tokens, the cross-entropy that of bytes.
    expect(bytes).toBeGreaterThan(64);
    expect(bytes).toBeLessThan(256);
    const tokens = 2 * Number(/; (\d+) in a row/.exec(stderr)![1]);
    expect(crossEntropy).toBeCloseTo((loss! * tokens) / bytes!, 5);
    const source = await openSource(out);
    const parsed = fromHfConfig(source.files.config);
    expect(new Set(source.files.tensors.names)).toEqual(new Set(parameterShapes(parsed).keys()));
    expect(parsed).toMatchObject({ architecture: 'olmo2', vocabSize: (await loadTokenizer(source)).vocabulary.size, isTied: false });
    (await loadSourceLM(source)).dispose();
    const scored = await callCli('evaluate', '--model', out, '--data', data, '--range', '0:600', '--backend', 'wasm', '--json');
    expect((JSON.parse(scored.stdout) as { bitsPerByte: number }).bitsPerByte).toBeLessThan(3.5);
  });

  it('goes on bit for bit, and further from its weights', async () => {
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')];
    await fresh(whole, '--steps', '6');
    await fresh(parts, '--steps', '6', '--stop-at', '3');
    const resumed = await callCli('train', '--resume', '--out', parts);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(weightsOf(parts)).toEqual(weightsOf(whole));
    const tuned = join(folder, 'tuned');
    const { code, stderr } = await callCli('train', '--init', whole, '--data', data, '--batch', '1', '--length', '32', '--steps', '1', '--lr', '1e-4', '--backend', 'wasm', '--out', tuned);
    expect(code, stderr).toBe(0);
    expect(readFileSync(join(tuned, 'tokenizer.json'))).toEqual(readFileSync(join(toy, 'tokenizer.json')));
    expect(weightsOf(tuned)).not.toEqual(weightsOf(whole));
  });

  it('leaves the tables as they are when asked to', async () => {
    const out = join(folder, 'layers');
    const { code, stderr } = await callCli('train', '--init', join(folder, 'whole'), '--data', data, '--batch', '1', '--length', '32', '--steps', '2', '--table-lr', '0', '--backend', 'wasm', '--out', out);
    expect(code, stderr).toBe(0);
    const [before, after] = await Promise.all([join(folder, 'whole'), out].map((f) => openSafetensors(join(f, 'model.safetensors'))));
    for (const name of before!.names) {
      const same = Buffer.from((await before!.read(name)).values.buffer).equals(Buffer.from((await after!.read(name)).values.buffer));
      expect(same, name).toBe(/embed_tokens|lm_head/.test(name));
    }
    await before!.close();
    await after!.close();
  });

  it('says what is wrong', async () => {
    const out = join(folder, 'bad');
    const said = async (...args: string[]) => (await callCli('train', '--data', data, '--backend', 'wasm', '--steps', '1', '--out', out, ...args)).stderr;
    expect(await said()).toContain('--tokenizer: expected a folder with tokenizer.json');
    expect(await said('--tokenizer', toy, '--preset', 'huge')).toContain('--preset huge: expected one of tiny');
    expect(await said('--init', join(folder, 'whole'), '--tokenizer', toy)).toContain('got --tokenizer as well');
    const config = join(folder, 'config.json');
    writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(join(folder, 'whole', 'config.json'), 'utf8')), vocab_size: 300 }));
    expect(await said('--tokenizer', toy, '--config', config)).toMatch(/config.json gives logits for 300 tokens, .*tokenizer.json has 340/);
    const odd = join(folder, 'odd.txt');
    writeFileSync(odd, Uint8Array.from({ length: 600 }, (_, i) => 128 + (i % 100)));
    expect((await callCli('train', '--tokenizer', toy, '--data', odd, ...MICRO, '--steps', '1', '--out', out)).stderr).toContain('odd.txt: expected UTF-8');
    // A vocabulary without the byte 0x00, and one that changes the text.
    const holes = join(folder, 'holes');
    mkdirSync(holes);
    cpSync(toy, holes, { recursive: true });
    const json = JSON.parse(readFileSync(join(toy, 'tokenizer.json'), 'utf8')) as { model: { vocab: Record<string, number>; merges: unknown }; normalizer: unknown };
    const { Ā: _, ...vocab } = json.model.vocab;
    writeFileSync(join(holes, 'tokenizer.json'), JSON.stringify({ ...json, model: { ...json.model, vocab } }));
    expect(await said('--tokenizer', holes)).toContain('expected an entry for each of the 256 bytes, got none for 1 of them (0x00)');
    writeFileSync(join(holes, 'tokenizer.json'), JSON.stringify({ ...json, normalizer: { type: 'Lowercase' } }));
    expect((await callCli('train', '--tokenizer', holes, '--data', data, ...MICRO, '--steps', '1', '--out', out)).stderr).toMatch(/\[(checkRoundTrip|align)/);
  });
});
