import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initBackend, Rng, SequenceContext } from '@bytelm/core';
import { float32ToBf16, loadParameters, openSafetensors, serializeSafetensors, type TensorSource } from '@bytelm/core/io';
import { expectClose } from '@bytelm/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HashNgramEmbedding } from './hash-ngram-embedding.js';
import { tableSource } from './table-source.js';

const config = { dModel: 3, vocabSize: 12, sizes: [2, 3], vocabularySize: 7 };
const BYTES = 'local_encoder.tok_embeddings.weight';
const ids = Int32Array.from({ length: 9 }, (_, i) => (i * 5) % 12);

/** A safetensors file of one matrix of 16-bit rows and the byte table. */
function halves(name: string, dtype: 'BF16' | 'F16', values: Uint16Array, rows: number): Uint8Array {
  const bytes = new Float32Array(36).fill(0.5);
  const head = JSON.stringify({
    [BYTES]: { dtype: 'F32', shape: [12, 3], data_offsets: [0, 144] },
    [name]: { dtype, shape: [rows, 3], data_offsets: [144, 144 + values.byteLength] },
  });
  const text = new TextEncoder().encode(head.padEnd(Math.ceil(head.length / 8) * 8));
  const out = new Uint8Array(8 + text.length + 144 + values.byteLength);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(new Uint8Array(bytes.buffer), 8 + text.length);
  out.set(new Uint8Array(values.buffer), 8 + text.length + 144);
  return out;
}

describe('tables on the host', () => {
  let folder: string;
  beforeAll(async () => {
    await initBackend('cpu');
    folder = mkdtempSync(join(tmpdir(), 'hash-tables-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const run = async (e: HashNgramEmbedding) => Float32Array.from(await tf.tidy(() => e.forward(tf.tensor2d(ids, [1, 9], 'int32'), new SequenceContext(1, 9, { ids }))).data());
  const file = (name: string, bytes: Uint8Array) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return openSafetensors(path);
  };
  const host = async (source: TensorSource, options: object) => {
    const e = new HashNgramEmbedding({ ...config, storage: 'host' });
    await loadParameters(e, source, { allowUnexpected: true });
    await e.loadTables(source, options);
    return e;
  };

  it('rows out of a fused matrix of bf16, in the file or in memory', async () => {
    const values = Float32Array.from({ length: 42 }, (_, i) => (i - 20) / 8);
    const source = await file('fused.safetensors', halves('encoder_hash_tok_embedding.weight', 'BF16', float32ToBf16(values), 14));
    const fused = 'encoder_hash_tok_embedding.weight';
    const device = new HashNgramEmbedding(config);
    await loadParameters(device, tableSource(source, device, { fused }));
    const expected = await run(device);
    expect(await device.readTable(1)).toEqual({ dtype: 'float32', shape: [7, 3], values: values.subarray(21) });
    for (const keep of ['file', 'memory']) {
      const e = await host(source, { keep, fused });
      expect(await run(e)).toEqual(expected);
      expect(e.hostBytes).toBe(keep === 'file' ? 0 : 84);
      expect((await e.readTable(1)).values).toEqual(values.subarray(21));
    }
    const pieces = new HashNgramEmbedding({ ...config, maxTableBytes: 40 });
    await loadParameters(pieces, tableSource(source, pieces, { fused }));
    expect(await run(pieces)).toEqual(expected);
    expect((await pieces.readTable(1)).values).toEqual(values.subarray(21));
    await source.close();
  });

  it('f16 and float32 tables, and float32 rounded to bf16', async () => {
    const device = new HashNgramEmbedding(config, new Rng(1));
    const source = await file('plain.safetensors', await serializeSafetensors(device.parameters()));
    const expected = await run(device);
    // The sum over tables comes first: rounding differs.
    await expectClose(tf.tensor1d(await run(await host(source, { keep: 'file' }))), expected, { atol: 1e-6 });
    const rounded = await host(source, { as: 'bf16' });
    expect(rounded.hostBytes).toBe(84);
    await expectClose(tf.tensor1d(await run(rounded)), expected, { atol: 2e-2, rtol: 1e-2 });
    // 1.0 in half precision.
    const f16 = await file('f16.safetensors', halves('t', 'F16', new Uint16Array(42).fill(0x3c00), 14));
    const ones = await run(await host(f16, { fused: 't', keep: 'file' }));
    expect([...ones]).toEqual(Array(27).fill(2.5));
    await source.close();
    await f16.close();
  });

  it('sources that read whole tensors only', async () => {
    const device = new HashNgramEmbedding(config, new Rng(2));
    const all = await openSafetensors(await serializeSafetensors(device.parameters()));
    const { name, names, metadata } = all;
    const whole: TensorSource = { name, names, metadata, has: (n) => all.has(n), info: (n) => all.info(n), read: ((n: string) => all.read(n)) as TensorSource['read'], close: () => all.close() };
    const e = await host(whole, {});
    await expectClose(tf.tensor1d(await run(e)), await run(device), { atol: 1e-6 });
    await expect(e.loadTables(whole, { keep: 'file' })).rejects.toThrow("cannot be read row by row at once. Hint: a safetensors file on disk, or keep: 'memory'.");
    const pieces = new HashNgramEmbedding({ ...config, maxTableBytes: 24 });
    await loadParameters(pieces, tableSource(whole, pieces));
    expect(await run(pieces)).toEqual(await run(device));
  });

  it('says what is wrong', async () => {
    const e = new HashNgramEmbedding({ ...config, storage: 'host' });
    await expect(run(e)).rejects.toThrow("the tables with storage 'host' are not loaded yet. Hint: await embedding.loadTables(");
    const source = await openSafetensors(await serializeSafetensors(new HashNgramEmbedding({ ...config, dModel: 4 }).parameters()));
    await expect(e.loadTables(source)).rejects.toThrow('encoder_hash_tok_embedding.0.weight has shape (7, 4), expected at least 7 rows of 3.');
    await expect(e.loadTables(source, { fused: 'nothing' })).rejects.toThrow('there is no tensor nothing');
    const device = new HashNgramEmbedding(config);
    await expect(device.loadTables(source)).rejects.toThrow("loadTables is for storage 'host'.");
    expect(() => tableSource(source, new HashNgramEmbedding({ ...config, dModel: 4, vocabularySize: 9 }))).toThrow('rows 0 to 9 of it were to become encoder_hash_tok_embedding.0.weight');
    const bad = (options: object) => () => new HashNgramEmbedding({ ...config, ...options });
    expect(bad({ dModel: 0 })).toThrow('[HashNgramEmbedding] dModel: expected a positive whole number, got 0.');
    expect(bad({ sizes: [0] })).toThrow('[HashNgramEmbedding] sizes: expected whole numbers from 1 to 256, got 0.');
    expect(bad({ numFunctions: 12 })).toThrow('numFunctions: expected 1 to 11');
    expect(bad({ storage: 'disk' })).toThrow("storage: expected 'device' or 'host', got \"disk\".");
    expect(bad({ maxTableBytes: 8 })).toThrow('maxTableBytes: expected at least one row of 12 bytes, got 8.');
  });
});
