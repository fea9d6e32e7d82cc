import { ByteTokenizer, ConfigError, DataError, SequenceContext, type ByteLM, type ByteVocabulary, type BYTE_VOCABULARIES } from '@bytelm/core';
import { entropies as readEntropies } from './entropies.js';
import { startsFromEntropy, type EntropyRule } from './entropy-rule.js';

export interface CalibrateOptions extends Omit<EntropyRule, 'threshold'> {
  /** The entropy model, with `texts`; or `entropies` that were read before. */
  model?: ByteLM | undefined;
  /** Documents to calibrate on: text like that to be patched, some 100 kB of it. */
  texts?: readonly (string | Uint8Array)[] | undefined;
  /** One array of nats for each document, BOS included, as `entropies` and patch files give them. */
  entropies?: readonly ArrayLike<number>[] | undefined;
  /** Wished mean patch length. Ids count, so BOS is a patch of one. */
  targetBytesPerChunk: number;
  maxChunkLength?: number | null | undefined;
  /** Of the model. Default `'blt'`. */
  vocabulary?: keyof typeof BYTE_VOCABULARIES | ByteVocabulary | undefined;
  /** Rows read side by side. Default 8. */
  batch?: number | undefined;
}

export interface Calibration {
  /** θ in nats, halfway between two entropies (rises, with `monotonic`) that occur. */
  threshold: number;
  /** Mean patch length that θ gives on these documents: the nearest to the target that there is. */
  bytesPerChunk: number;
  targetBytesPerChunk: number;
  chunks: number;
  /** Ids patched, BOS included. */
  bytes: number;
}

/**
 * Finds the threshold that gives a wished mean patch length: bisection over the entropies that occur, since nothing changes between them.
 *
 * @throws ConfigError for an impossible target; it names what can be had. @throws DataError without documents.
 * @example
 * const { threshold, bytesPerChunk } = await calibrateThreshold({ model, texts, targetBytesPerChunk: 4.5 });
 */
export async function calibrateThreshold(options: CalibrateOptions): Promise<Calibration> {
  const { targetBytesPerChunk: target } = options;
  if (!(target >= 1 && Number.isFinite(target))) throw new ConfigError(`[calibrateThreshold] targetBytesPerChunk: expected a number from 1, got ${target}.`);
  const documents = options.entropies ?? (await entropiesOf(options));
  const bytes = documents.reduce((n, e) => n + e.length, 0);
  if (!bytes) throw new DataError('[calibrateThreshold] expected documents with content, got none. Hint: give `texts` or `entropies`.');
  const chunksAt = (threshold: number): number => {
    const rule = { threshold, monotonic: options.monotonic, addThreshold: options.addThreshold, maxChunkLength: options.maxChunkLength, nextToken: false };
    return documents.reduce((n, e) => n + startsFromEntropy(e, rule).length - (e.length ? 0 : 1), 0);
  };
  const candidates = thresholds(documents, options.monotonic ?? false);
  const lengths = new Map<number, number>();
  const lengthAt = (i: number): number => {
    if (!lengths.has(i)) lengths.set(i, bytes / chunksAt(candidates[i]!));
    return lengths.get(i)!;
  };
  const last = candidates.length - 1;
  const [shortest, longest] = [lengthAt(0), lengthAt(last)];
  // Beyond what there is by more than a little: the rule or these texts cannot give it.
  if (target < shortest * 0.98 || target > longest * 1.02) {
    throw new ConfigError(
      `[calibrateThreshold] targetBytesPerChunk: expected ${shortest.toFixed(2)} to ${longest.toFixed(2)} with this rule on these texts, got ${target}. ` +
        'Hint: the monotonic rules force patches, `maxChunkLength` ends them, and short documents have few.',
    );
  }
  let low = 0;
  for (let high = last; low < high; ) {
    const middle = (low + high) >> 1;
    if (lengthAt(middle) >= target) high = middle;
    else low = middle + 1;
  }
  const best = low > 0 && Math.abs(lengthAt(low - 1) - target) < Math.abs(lengthAt(low) - target) ? low - 1 : low;
  return { threshold: candidates[best]!, bytesPerChunk: lengthAt(best), targetBytesPerChunk: target, chunks: chunksAt(candidates[best]!), bytes };
}

/** Values between which no decision changes, ascending. */
function thresholds(documents: readonly ArrayLike<number>[], rises: boolean): number[] {
  const seen: number[] = [];
  for (const e of documents) for (let i = rises ? 2 : 1; i < e.length; i++) seen.push(rises ? Math.fround(Math.fround(e[i]!) - Math.fround(e[i - 1]!)) : Math.fround(e[i]!));
  const sorted = Float32Array.from(seen).sort();
  if (!sorted.length) return [0];
  const least = rises ? sorted[0]! - 1e-3 : Math.max(0, sorted[0]! / 2);
  const out = [least];
  for (let i = 0; i + 1 < sorted.length; i++) if (sorted[i + 1]! > sorted[i]!) out.push(Math.fround((sorted[i]! + sorted[i + 1]!) / 2));
  out.push(sorted[sorted.length - 1]!);
  return out;
}

/** Documents of similar length side by side, so that little is padding. */
async function entropiesOf({ model, texts, vocabulary = 'blt', batch = 8 }: CalibrateOptions): Promise<Float32Array[]> {
  if (!model || !texts) throw new ConfigError('[calibrateThreshold] expected `model` and `texts`, or `entropies`.');
  const tokenizer = new ByteTokenizer(vocabulary);
  const rows = texts.map((text) => tokenizer.encode(text)).sort((a, b) => a.length - b.length);
  const out: Float32Array[] = [];
  for (let at = 0; at < rows.length; at += batch) {
    const part = rows.slice(at, at + batch);
    const L = part.at(-1)!.length;
    const ids = new Int32Array(part.length * L);
    part.forEach((r, b) => ids.set(r, b * L));
    const values = await readEntropies(model, ids, new SequenceContext(part.length, L, { lengths: part.map((r) => r.length) }));
    part.forEach((r, b) => out.push(values.slice(b * L, b * L + r.length)));
  }
  return out;
}
