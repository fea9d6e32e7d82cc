import type { ByteLM } from '../contracts/index.js';
import type { Segmentation } from '../contracts/segmentation.js';
import { SequenceContext, type StageRecord } from '../contracts/sequence-context.js';
import { DataError } from '../errors.js';
import { Rng } from '../rng.js';
import { HostDecoder, type Decoder, type FedId } from './decoder.js';
import { canDecodeRecorded, RecordedDecoder } from './recorded-decoder.js';
import { checkSamplingOptions, type SamplingOptions } from './sampling.js';

export interface GenerateOptions extends SamplingOptions {
  /** Ids to generate for each prompt at most. */
  maxBytes: number;
  /** Generation of a row stops at this id; it is not emitted. Default 255 (H-Net's EOS); `null` to ignore. */
  eos?: number | null;
  /** Default `new Rng(0)`. Each row draws from its own stream, so a row's text does not depend on its neighbours. */
  rng?: Rng;
  /** Stop between bytes. */
  signal?: AbortSignal | undefined;
  /**
   * On webgpu the step is recorded once and replayed, where the model has steps on the device (`onDevice`), and only sampled ids are read
   * back. `false`: never. Default true.
   */
  recorded?: boolean | undefined;
}

export type GenerateEvent =
  /** Once, after the prompts were read: where each stage put boundaries in them. */
  | { type: 'prompt'; segmentations: Segmentation[] }
  /** One generated id. `endsChunk`, of models that emit boundaries with their bytes: does a chunk end behind it? `id` is the byte's alone. */
  | { type: 'byte'; row: number; id: number; index: number; endsChunk?: boolean }
  /** What the stages did with the id of `index` when it was read: 1 boundary, 0 none, −1 the stage did not run. */
  | { type: 'boundary'; row: number; index: number; fired: number[] }
  | { type: 'end'; row: number; reason: 'eos' | 'length' | 'aborted' };

/**
 * Generates continuations of several prompts of unequal length at once. Rows stand at different chunk positions and stop on their own.
 *
 * @param prompts ids of each prompt, at least one (a BOS will do).
 * @throws DataError for an empty prompt. @throws NumericError when logits are not finite.
 */
export async function* generate(model: ByteLM, prompts: readonly Int32Array[], options: GenerateOptions): AsyncGenerator<GenerateEvent> {
  checkSamplingOptions(options);
  const { maxBytes, eos = 255, rng = new Rng(0), signal } = options;
  const B = prompts.length;
  if (!B) throw new DataError('[generate] no prompts.');
  prompts.forEach((p, b) => {
    if (!p.length) throw new DataError(`[generate] prompt ${b} is empty. Hint: start it with the BOS id (ByteTokenizer does).`);
  });
  const L = Math.max(...prompts.map((p) => p.length));
  const ids = new Int32Array(B * L);
  prompts.forEach((p, b) => ids.set(p, b * L));
  const uneven = prompts.some((p) => p.length !== L);
  const record: StageRecord[] = [];
  const ctx = new SequenceContext(B, L, { ids, record, lengths: uneven ? prompts.map((p) => p.length) : undefined });
  const read = await model.prefill(ids, model.initState(B), ctx);
  const streams = prompts.map((_, b) => rng.fork(`row ${b}`));
  const onHost = new HostDecoder(model, read.state, options, streams);
  let decoder: Decoder = onHost;
  try {
    ctx.dispose();
    const { vocabSize: V, boundaryFrom } = model;
    const all = (await read.logits.data()) as Float32Array;
    read.logits.dispose();
    prompts.forEach((p, b) => onHost.seen(b, all.slice((b * L + p.length - 1) * V, (b * L + p.length) * V)));
    const isRecorded = options.recorded !== false && canDecodeRecorded(model, B, options);
    yield { type: 'prompt', segmentations: record.map((r) => r.segmentation) };
    let active = prompts.map((_, b) => b);
    for (let index = 0; active.length; index++) {
      const feed: FedId[] = [];
      for (const row of active) {
        if (signal?.aborted || index >= maxBytes) {
          yield { type: 'end', row, reason: signal?.aborted ? 'aborted' : 'length' };
          continue;
        }
        const emitted = decoder.next(row, index);
        const endsChunk = boundaryFrom !== undefined && emitted >= boundaryFrom;
        const id = endsChunk ? emitted - boundaryFrom : emitted;
        if (id === eos) {
          yield { type: 'end', row, reason: 'eos' };
          continue;
        }
        yield { type: 'byte', row, id, index, ...(boundaryFrom !== undefined && { endsChunk }) };
        feed.push({ row, id: emitted });
      }
      active = feed.map((f) => f.row);
      // The last byte's successor is wanted by nobody.
      if (!active.length || index + 1 >= maxBytes) continue;
      if (index === 0 && isRecorded) decoder = new RecordedDecoder(model, onHost.handOver(), feed, { ...options, streams, steps: maxBytes - 1 });
      const fired = await decoder.read(feed);
      if (fired.length) for (const row of active) yield { type: 'boundary', row, index, fired: fired.map((f) => f[row]!) };
    }
  } finally {
    for (const r of record) r.segmentation.dispose();
    decoder.dispose();
  }
}
