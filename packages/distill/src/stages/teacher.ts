import * as tf from '@tensorflow/tfjs-core';
import { ConfigError, isLayered, SequenceContext, type ByteEmbedder, type ByteHead, type LayeredModel, type SequenceLM, type SequenceModel } from '@bytelm/core';

/** What is wanted of a teacher; nothing else is computed. */
export interface TeacherRequest {
  /** Logits of the next token. */
  logits?: boolean;
  /** The last hidden state before the final norm. */
  hidden?: boolean;
  /** The tokens' embeddings. */
  embeddings?: boolean;
  /** The hidden state after so many blocks. */
  blocks?: number | undefined;
}

/** (B, P, D) each, logits (B, P, V); only what was asked for. The caller frees them. */
export interface TeacherOutputs {
  logits?: tf.Tensor3D;
  hidden?: tf.Tensor3D;
  embeddings?: tf.Tensor3D;
  blocks?: tf.Tensor3D;
}

/** How rows of token ids lie in memory. */
export interface TokenShape {
  batch: number;
  length: number;
  /** Real tokens of each row; the rest is padding. Default: all. */
  lengths?: ArrayLike<number> | undefined;
}

/** A subword language model that is only read: its parameters get no gradient. */
export interface Teacher {
  /** For messages. */
  readonly name: string;
  /** Width of its hidden states. */
  readonly dModel: number;
  readonly vocabSize: number;
  readonly numBlocks: number;
  /** @param ids (B*P) token ids. Runs no deeper than the request needs. */
  read(ids: Int32Array, shape: TokenShape, want: TeacherRequest): TeacherOutputs;
}

export interface TeacherParts {
  embed: ByteEmbedder;
  body: LayeredModel;
  head: ByteHead;
  /** In place of the body's own final norm, where that has none. */
  norm?: { forward(x: tf.Tensor3D): tf.Tensor3D } | undefined;
  /** Ids derived from ids, as a `SequenceLM` with `documentEnds` does. */
  documents?: ((ctx: SequenceContext) => SequenceContext) | undefined;
  name?: string | undefined;
}

class LayeredTeacher implements Teacher {
  readonly name: string;
  readonly dModel: number;
  readonly vocabSize: number;
  readonly numBlocks: number;

  constructor(private readonly parts: TeacherParts) {
    const { body, head, name = 'the teacher' } = parts;
    this.name = name;
    this.dModel = body.dOut ?? body.dModel;
    this.vocabSize = head.vocabSize;
    this.numBlocks = body.numBlocks;
  }

  read(ids: Int32Array, { batch, length, lengths }: TokenShape, want: TeacherRequest): TeacherOutputs {
    const { embed, body, head, norm, documents } = this.parts;
    const isFull = !lengths || Array.from(lengths).every((n) => n === length);
    const given = new SequenceContext(batch, length, { ids, lengths: isFull ? undefined : Int32Array.from(lengths) });
    const ctx = documents?.(given) ?? given;
    const toEnd = want.logits || want.hidden;
    const depths = [...(want.blocks === undefined ? [] : [want.blocks]), ...(toEnd ? [this.numBlocks] : [])];
    const out = tf.tidy(() => {
      const made: TeacherOutputs = {};
      const x = embed.forward(tf.tensor2d(ids, [batch, length], 'int32'), ctx);
      if (want.embeddings) made.embeddings = tf.clone(x);
      if (!depths.length) return { ...made };
      const streams = body.streams(x, ctx, depths);
      if (want.blocks !== undefined) made.blocks = streams[0]!;
      const last = streams.at(-1)!;
      if (want.hidden) made.hidden = tf.clone(last);
      if (want.logits) made.logits = head.forward(norm ? norm.forward(last) : body.fromStream(last)) as tf.Tensor3D;
      return { ...made };
    });
    ctx.dispose();
    return out;
  }
}

/**
 * A subword model as a teacher, e.g. of `createSourceLM`.
 * @throws ConfigError when its layers cannot be looked at one by one (see `LayeredModel` of core).
 * @example
 * const stage = new Stage1(student, teacherOf(sourceLM), { vocabulary });
 */
export function teacherOf(lm: SequenceLM, name?: string): Teacher {
  return new LayeredTeacher({ embed: lm.embed, body: layered(lm.backbone, 'teacherOf'), head: lm.head, documents: (ctx) => lm.withDocuments(ctx), name });
}

/**
 * A teacher that shares its layers with the student whose main network they are: frozen in stage 1, they are in memory once. Embedding,
 * final norm and head are what the student does not have of the source model.
 * @throws ConfigError as `teacherOf`.
 */
export function sharedTeacher({ main, ...parts }: Omit<TeacherParts, 'body' | 'documents'> & { main: SequenceModel }): Teacher {
  return new LayeredTeacher({ ...parts, body: layered(main, 'sharedTeacher') });
}

function layered(model: SequenceModel, where: string): LayeredModel {
  if (isLayered(model)) return model;
  throw new ConfigError(`[${where}] ${model.constructor.name}: expected a model of blocks over one residual stream (ResidualStack, LatentTransformer), whose hidden states can be read between them.`);
}
