import { SequenceContext, type ByteLM } from '@bytelm/core';
import { NOISES, noiseSource, spoil, type Noise } from './noise.js';

/** Nats of texts behind contexts, whatever a model reads. */
export interface Scorer {
  /** Ids of a text as the model reads it, the begin id left out. */
  encode(text: string): Int32Array;
  begin: number;
  model: ByteLM;
}

export interface Pair {
  context: string;
  text: string;
}

const BATCH = 8;

/** Σ −ln p of each text, given the begin id and its context. */
export async function natsOf({ model, encode, begin }: Scorer, pairs: readonly Pair[]): Promise<number[]> {
  const out: number[] = [];
  for (let at = 0; at < pairs.length; at += BATCH) {
    const rows = pairs.slice(at, at + BATCH).map(({ context, text }) => {
      const [before, behind] = [encode(context), encode(text)];
      return { ids: Int32Array.of(begin, ...before, ...behind), from: before.length + 1 };
    });
    const L = Math.max(...rows.map((r) => r.ids.length)) - 1;
    const ids = new Int32Array(rows.length * L);
    rows.forEach((r, b) => ids.set(r.ids.subarray(0, -1), b * L));
    const ctx = new SequenceContext(rows.length, L, { ids, lengths: rows.map((r) => r.ids.length - 1) });
    const logits = await model.logits(ids, ctx);
    const values = await logits.data();
    logits.dispose();
    ctx.dispose();
    rows.forEach((r, b) => {
      let nats = 0;
      for (let t = r.from; t < r.ids.length; t++) nats += negativeLog(values, (b * L + t - 1) * model.vocabSize, model.vocabSize, r.ids[t]!);
      out.push(nats);
    });
  }
  return out;
}

function negativeLog(values: ArrayLike<number>, at: number, size: number, id: number): number {
  let most = -Infinity;
  for (let v = at; v < at + size; v++) if (values[v]! > most) most = values[v]!;
  let sum = 0;
  for (let v = at; v < at + size; v++) sum += Math.exp(values[v]! - most);
  return most + Math.log(sum) - values[at + id]!;
}

/** Results of one model. Bits are per byte of the clean text. */
export interface Scores {
  /** The second half of windows, given the first: what `sliding` with half a window of stride scores. */
  bitsPerByte: number;
  /** Of the clean second half behind a spoiled first, for each kind of noise. */
  noisedContext: Record<Noise, number>;
  /** Of both halves, both spoiled. */
  noisedText: Record<Noise, number>;
}

const bytesOf = (text: string) => new TextEncoder().encode(text).length;

/** @param windows Pairs of halves. @param noisy How many of them the noise is measured on. */
export async function scoresOf(scorer: Scorer, windows: readonly Pair[], noisy: number, seeds: readonly number[]): Promise<Scores> {
  const bits = async (pairs: readonly Pair[], clean: readonly Pair[], whole: boolean) => {
    const nats = await natsOf(scorer, whole ? pairs.map(({ context, text }) => ({ context: '', text: context + text })) : pairs);
    const bytes = clean.reduce((n, p) => n + bytesOf(p.text) + (whole ? bytesOf(p.context) : 0), 0);
    return nats.reduce((a, b) => a + b, 0) / (Math.LN2 * bytes);
  };
  const bitsPerByte = await bits(windows, windows, false);
  const stride = Math.max(1, Math.floor(windows.length / noisy));
  const some = windows.filter((_, i) => i % stride === 0).slice(0, noisy);
  const noisedContext = {} as Record<Noise, number>;
  const noisedText = {} as Record<Noise, number>;
  for (const noise of NOISES) {
    const spoiled = seeds.flatMap((seed) =>
      some.map(({ context, text }, i) => ({ context: spoil(context, noise, noiseSource(seed, i, noise, 0)), text, both: spoil(text, noise, noiseSource(seed, i, noise, 1)) })),
    );
    const clean = seeds.flatMap(() => some);
    noisedContext[noise] = await bits(spoiled, clean, false);
    noisedText[noise] = await bits(spoiled.map(({ context, both }) => ({ context, text: both })), clean, true);
  }
  const clean = await bits(some, some, false);
  // As differences from the same windows, clean.
  for (const noise of NOISES) noisedContext[noise] -= clean;
  return { bitsPerByte, noisedContext, noisedText };
}

/** A text in windows of two halves of `bytes / 2` bytes each, cut between characters. */
export function windowsOf(text: Uint8Array, bytes: number): Pair[] {
  const half = bytes / 2;
  const cut = (at: number) => {
    let i = Math.min(at, text.length);
    while (i < text.length && (text[i]! & 0xc0) === 0x80) i++;
    return i;
  };
  const decode = (from: number, to: number) => new TextDecoder().decode(text.subarray(cut(from), cut(to)));
  return Array.from({ length: Math.max(0, Math.floor(text.length / half) - 1) }, (_, k) => ({ context: decode(k * half, (k + 1) * half), text: decode((k + 1) * half, (k + 2) * half) }));
}
