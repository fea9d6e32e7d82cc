import * as tf from '@tensorflow/tfjs-core';
import { CheckpointError, ConfigError, Rng, Segmentation, SequenceContext, type HierarchicalLM, type ParameterMap } from '@bytelm/core';
import type { HostTensor, TensorSource } from '@bytelm/core/io';
import { BOLMO_VOCABULARY, type StudentVocabulary } from '../alignment/byte-rows.js';

/** Which parameters of a student start in a way of their own; the patterns are looked for in whole names. */
export interface ByteifyNames {
  /** The source model's table of embeddings. */
  sourceEmbedding: string;
  /** Its first rows, copied. `null`: the student has none. */
  subwords: string | null;
  /** Drawn from the mean and deviation of each channel of the source's. */
  bytes: string;
  head: string;
  /** Square matrices that start as the identity. */
  identity: RegExp;
  /** Biases that start at −10: closed gates. */
  closed: RegExp;
  /** Norm weights, which start at 1. */
  ones: RegExp;
  /** Linear that makes patches, without `.weight`; its outputs are made to look like embeddings. `null`: none. */
  pool: string | null;
}

/** The names of Bolmo's checkpoints, and of OLMo's. */
export const BOLMO_INIT: Readonly<ByteifyNames> = {
  sourceEmbedding: 'model.embed_tokens.weight',
  subwords: 'model.local_encoder.subword_embedding.weight',
  bytes: 'model.local_encoder.byte_embedding.weight',
  head: 'lm_head.weight',
  identity: /boundary_predictor_module\.[qk]_proj_layer\.weight$/,
  closed: /igate_preact\.bias$/,
  ones: /norm\w*\.weight$/,
  pool: 'model.local_encoder.out_projection',
};

export interface ByteifyInitOptions {
  /** Default 0. */
  seed?: number | undefined;
  names?: Readonly<ByteifyNames> | undefined;
  /** Make mean and deviation of each channel of patches those of the source's embeddings. Default true. */
  rescale?: boolean | undefined;
  /** Ids to measure that on. Default: 8192 random bytes. */
  sample?: Int32Array | undefined;
  student?: StudentVocabulary | undefined;
}

export interface ByteifyInitReport {
  /** Parameters that are the source model's. */
  copied: string[];
  /** Parameters that were drawn or set. */
  drawn: string[];
  /** Of the source model, what the student has no place for. */
  unused: string[];
}

const ROW = 256;

/**
 * Initial weights of a student out of the model it is made of: the main network and the final norm are copied, the table of subwords is the
 * source's embedding, a byte's vector is drawn like one of its rows. Linear layers are uniform within ±1/√inputs, biases too; norms are 1, the
 * boundary predictor compares vectors as they are, input gates are closed, and patches are scaled to look like embeddings.
 *
 * @throws CheckpointError listing every parameter of the main network that the source lacks or has in another shape.
 * @source Bolmo, arXiv 2512.15586, and the published code; there the scale of patches is applied to the input columns of the projection, here
 * to its output rows, whose statistics are meant.
 * @example
 * const report = await byteifyInit(student, await openCheckpoint('olmo'), { seed: 1 });
 */
export async function byteifyInit(student: HierarchicalLM, source: TensorSource, options: ByteifyInitOptions = {}): Promise<ByteifyInitReport> {
  const { seed = 0, names = BOLMO_INIT, rescale = true } = options;
  const parameters = new Map([...student.parameterNames()].map(([v, name]) => [name, v]));
  const copied = copiedNames(student, parameters, source, names);
  const rng = new Rng(seed);
  const table = await source.read(names.sourceEmbedding);
  const channels = channelStats(table, tableRows(names, parameters, table, source));
  for (const name of copied) assign(parameters.get(name)!, tensorOf(await source.read(name)));
  const drawn = [...parameters.keys()].filter((name) => !copied.has(name));
  for (const name of drawn) assign(parameters.get(name)!, initial(name, parameters, names, table, channels, rng.fork(name)));
  if (rescale && names.pool) await rescalePatches(student, parameters, names.pool, channels, options, rng.fork('sample'));
  for (const [name, v] of parameters) if (names.closed.test(name) && !copied.has(name)) assign(v, tf.fill(v.shape, -10));
  const used = new Set([...copied, names.sourceEmbedding]);
  return { copied: [...copied], drawn, unused: source.names.filter((n) => !used.has(n)) };
}

/** What the source has under the same name and shape. Of the main network that must be everything. */
function copiedNames(student: HierarchicalLM, parameters: ParameterMap, source: TensorSource, { head, subwords, bytes }: ByteifyNames): Set<string> {
  const inMain = new Set(student.parts.main.parameters().values());
  const own = new Set([head, subwords, bytes]);
  const problems: string[] = [];
  const copied = new Set<string>();
  for (const [name, v] of parameters) {
    const shape = source.has(name) ? source.info(name).shape : undefined;
    if (shape?.join() === v.shape.join() && !own.has(name)) copied.add(name);
    else if (inMain.has(v)) problems.push(shape ? `${name} has shape (${shape.join(', ')}), the student's (${v.shape.join(', ')})` : `${name} is missing`);
  }
  if (!problems.length) return copied;
  throw new CheckpointError(`[byteifyInit] ${source.name}: ${problems.slice(0, 8).join('; ')}${problems.length > 8 ? `; … (${problems.length})` : ''}. Hint: the student's main network has the layers of the model it is made of.`);
}

/** How many rows of the source's table count: those the student takes over, or all. */
function tableRows({ subwords, sourceEmbedding }: ByteifyNames, parameters: ParameterMap, { shape }: HostTensor, source: TensorSource): number {
  const taken = subwords === null ? undefined : parameters.get(subwords);
  if (!taken) return shape[0]!;
  if (taken.shape[0]! > shape[0]! || taken.shape[1] !== shape[1]) {
    throw new CheckpointError(`[byteifyInit] ${source.name}: ${sourceEmbedding} has shape (${shape.join(', ')}), the student's ${subwords} (${taken.shape.join(', ')}): it takes over the first rows, as wide as they are.`);
  }
  return taken.shape[0]!;
}

interface ChannelStats {
  mean: Float32Array;
  std: Float32Array;
}

function channelStats({ values, shape }: HostTensor, rows: number): ChannelStats {
  const D = shape[1]!;
  const [sum, squares] = [new Float64Array(D), new Float64Array(D)];
  for (let i = 0; i < rows * D; i++) {
    sum[i % D]! += values[i]!;
    squares[i % D]! += values[i]! ** 2;
  }
  const mean = Float32Array.from(sum, (s) => s / rows);
  return { mean, std: Float32Array.from(squares, (q, j) => Math.sqrt(Math.max(0, q / rows - mean[j]! ** 2))) };
}

function initial(name: string, parameters: ParameterMap, names: ByteifyNames, table: HostTensor, { mean, std }: ChannelStats, rng: Rng): tf.Tensor {
  const { shape, rank } = parameters.get(name)!;
  if (name === names.subwords) return tf.tensor(table.values.slice(0, shape[0]! * shape[1]!), shape, 'float32');
  if (name === names.bytes) {
    if (shape[1] !== mean.length) throw new ConfigError(`[byteifyInit] ${name} has width ${shape[1]}, the source's embeddings ${mean.length}.`);
    return tf.tidy(() => tf.add(tf.mul(rng.normal(shape, 1), tf.tensor1d(std)), tf.tensor1d(mean)));
  }
  if (name === names.head) return rng.normal(shape, 0.02, 3);
  if (names.identity.test(name)) return tf.eye(shape[0]!, shape[1]);
  if (names.ones.test(name) && rank === 1) return tf.ones(shape);
  const weight = rank === 1 ? parameters.get(name.replace(/bias$/, 'weight')) : undefined;
  const bound = 1 / Math.sqrt(weight?.shape[1] ?? shape.at(-1)!);
  return rng.uniform(shape, -bound, bound);
}

/** Output rows of the projection that makes patches: mean and deviation of each channel become those of the source's embeddings. */
async function rescalePatches(student: HierarchicalLM, parameters: ParameterMap, pool: string, target: ChannelStats, { sample, student: vocabulary = BOLMO_VOCABULARY }: ByteifyInitOptions, rng: Rng): Promise<void> {
  const [weight, bias] = [parameters.get(`${pool}.weight`), parameters.get(`${pool}.bias`)];
  if (!weight || !bias) throw new ConfigError(`[byteifyInit] the student has no ${pool}.weight and .bias to rescale. Hint: rescale false, or the name of what makes its patches.`);
  const ids = sample ?? Int32Array.from({ length: 32 * ROW }, () => vocabulary.offset + rng.nextInt(256));
  const length = Math.min(ROW, ids.length);
  const batch = Math.floor(ids.length / length);
  const used = ids.slice(0, batch * length);
  const ctx = new SequenceContext(batch, length, { ids: used });
  const everywhere = new Segmentation(batch, length, new Uint8Array(batch * length).fill(1), { drawnAt: 'end' });
  tf.tidy(() => {
    const { embed, encoder, downsample } = student.parts;
    const patches = downsample.forward(encoder.forward(embed.forward(tf.tensor2d(used, [batch, length], 'int32'), ctx), ctx), everywhere, ctx);
    const { mean, variance } = tf.moments(tf.reshape(patches, [batch * length, -1]), 0);
    const scale = tf.div(tf.tensor1d(target.std), tf.maximum(tf.sqrt(variance), tf.scalar(1e-12)));
    weight.assign(tf.mul(weight, tf.expandDims(scale, 1)));
    bias.assign(tf.add(tf.mul(tf.sub(bias, mean), scale), tf.tensor1d(target.mean)) as tf.Tensor1D);
  });
  everywhere.dispose();
  ctx.dispose();
}

const tensorOf = ({ values, shape }: HostTensor): tf.Tensor => tf.tensor(values, shape, 'float32');

function assign(variable: tf.Variable, value: tf.Tensor): void {
  variable.assign(value);
  value.dispose();
}
