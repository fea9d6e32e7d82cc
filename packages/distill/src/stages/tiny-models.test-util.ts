// A student in the likeness of Bolmo and its teacher, out of packages alone; with the names of the published checkpoints, so that golden cases fit.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {
  BoundaryEmittingLM,
  Embedding,
  gatherRows,
  Linear,
  LinearHead,
  Module,
  RMSNorm,
  Rng,
  SequenceLM,
  type ByteEmbedder,
  type Downsampler,
  type HasParameters,
  type Segmentation,
  type SequenceContext,
  type Upsampler,
} from '@bytelm/core';
import { fixtureRoot, readGolden, toTensor } from '@bytelm/core/testing';
import { BoundaryPredictor } from '@bytelm/dynamic-chunking';
import { LatentTransformer } from '@bytelm/latent-transformer';
import { mlstmStack } from '@bytelm/mlstm';
import { BOLMO_VOCABULARY, END_SYMBOL, PAD_SYMBOL, SubwordVocabulary, type TokenizerJson } from '../index.js';

export const bolmoFixtures = join(fixtureRoot(), 'bolmo');
export const toyVocabulary = new SubwordVocabulary(JSON.parse(readFileSync(join(bolmoFixtures, 'toy_tokenizer/tokenizer.json'), 'utf8')) as TokenizerJson);

export interface TinyShape {
  dModel: number;
  numLayers: number;
  numHeads: number;
  dIntermediate: number;
  windows: number[];
  encoderLayers: number;
  decoderLayers: number;
  localHeads: number;
  localIntermediate: number;
  /** Rows of the teacher's tables. */
  tokens: number;
}

export const TINY: TinyShape = { dModel: 16, numLayers: 3, numHeads: 2, dIntermediate: 24, windows: [-1, -1, -1], encoderLayers: 1, decoderLayers: 1, localHeads: 2, localIntermediate: 24, tokens: 340 };

const unused = (): never => {
  throw new Error('not part of these tests');
};

/** Longest subword that ends at each byte, found by looking. */
class SuffixTables extends Module implements ByteEmbedder<null> {
  readonly dModel: number;
  private readonly bytes: Embedding;
  private readonly subwords: Embedding;
  private readonly entries = new Map<string, number>();
  prefill = unused;
  step = unused;

  constructor(dModel: number, rng?: Rng) {
    super();
    this.dModel = dModel;
    this.bytes = this.addModule('byte_embedding', new Embedding({ vocabSize: 520, dModel }, rng?.fork('bytes')));
    this.subwords = this.addModule('subword_embedding', new Embedding({ vocabSize: toyVocabulary.size, dModel }, rng?.fork('subwords')));
    const { offset, eos, pad } = BOLMO_VOCABULARY;
    for (let id = 0; id < toyVocabulary.size; id++) this.entries.set(Array.from(toyVocabulary.symbolsOf(id), (s) => (s === END_SYMBOL ? eos : s === PAD_SYMBOL ? pad : s + offset)).join(), id);
  }

  forward(ids: tf.Tensor2D, { ids: values, batch, length }: SequenceContext): tf.Tensor3D {
    const longest = new Int32Array(batch * length);
    for (let i = 0; i < longest.length; i++) {
      for (let n = 1; n <= (i % length) + 1 && n <= 20; n++) longest[i] = this.entries.get(values!.subarray(i - n + 1, i + 1).join()) ?? longest[i]!;
    }
    return tf.tidy(() => tf.add(this.bytes.forward(ids), this.subwords.forward(tf.tensor2d(longest, [batch, length], 'int32'))));
  }

  initState(): null {
    return null;
  }
}

class LastByte extends Module implements Downsampler<null> {
  readonly dOut: number;
  private readonly projection: Linear;
  prefill = unused;
  step = unused;

  constructor(dModel: number, rng?: Rng) {
    super();
    this.dOut = dModel;
    this.projection = this.addModule('out_projection', new Linear({ inFeatures: dModel, outFeatures: dModel }, rng));
  }

  forward(encoded: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
    return tf.tidy(() => this.projection.forward(gatherRows(encoded, seg.boundaryIndex())));
  }

  initState(): null {
    return null;
  }
}

class Unpool extends Module implements Upsampler<null> {
  private readonly projection: Linear;
  private readonly norm: RMSNorm;
  prefill = unused;
  step = unused;

  constructor(dModel: number, rng?: Rng) {
    super();
    this.projection = this.addModule('in_projection', new Linear({ inFeatures: dModel, outFeatures: dModel }, rng));
    this.norm = this.addModule('initial_norm', new RMSNorm(dModel));
  }

  forward(main: tf.Tensor3D, encoded: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
    return tf.tidy(() => tf.add(this.projection.forward(encoded), gatherRows(this.norm.forward(main), seg.visibleChunk())));
  }

  initState(): null {
    return null;
  }
}

const STAGE_NAMES = { encoder: 'local_encoder', chunker: 'local_encoder.boundary_predictor_module', downsample: 'local_encoder', main: '', upsample: 'local_decoder', decoder: '' };

const bodyOf = ({ dModel, numLayers, numHeads, dIntermediate, windows }: TinyShape, finalNorm: string | false, rng?: Rng) =>
  new LatentTransformer({ names: 'olmo', qkNorm: 'all-heads', dModel, numLayers, numHeads, dIntermediate, windowSize: windows, theta: 500000, normEps: 1e-6, initStd: 0.2, finalNorm }, rng);

export function tinyStudent(shape: TinyShape = TINY, seed?: number): BoundaryEmittingLM {
  const rng = seed === undefined ? undefined : new Rng(seed);
  const { dModel } = shape;
  const local = { dModel, numHeads: shape.localHeads, dIntermediate: shape.localIntermediate, normEps: 1e-6 };
  const parts = {
    embed: new SuffixTables(dModel, rng?.fork('embed')),
    encoder: mlstmStack({ ...local, nLayers: shape.encoderLayers, finalNormEps: 1e-5 }, rng?.fork('encoder')),
    chunker: new BoundaryPredictor({ dModel }),
    downsample: new LastByte(dModel, rng?.fork('pool')),
    main: bodyOf(shape, false, rng?.fork('main')),
    upsample: new Unpool(dModel, rng?.fork('unpool')),
    decoder: mlstmStack({ ...local, nLayers: shape.decoderLayers, finalNormEps: 1e-6, names: { layers: 'local_decoder.layers', norm: 'norm' } }, rng?.fork('decoder')),
    head: new LinearHead({ vocabSize: 520, dModel, initStd: 0.3, boundaryFrom: BOLMO_VOCABULARY.numIds }, rng?.fork('head')),
  };
  return new BoundaryEmittingLM(parts, { names: { embed: 'model.local_encoder', backbone: 'model', head: 'lm_head' }, stageNames: STAGE_NAMES });
}

export function tinyTeacher(shape: TinyShape = TINY, seed?: number): SequenceLM {
  const rng = seed === undefined ? undefined : new Rng(seed);
  const size = { vocabSize: shape.tokens, dModel: shape.dModel };
  const parts = { embed: new Embedding(size, rng?.fork('embed')), backbone: bodyOf(shape, 'norm', rng?.fork('body')), head: new LinearHead({ ...size, initStd: 0.3 }, rng?.fork('head')) };
  return new SequenceLM(parts, { names: { embed: 'model.embed_tokens', backbone: 'model', head: 'lm_head' } });
}

/** A golden pair with its weights. */
export function publishedPair(name: string): { student: BoundaryEmittingLM; teacher: SequenceLM; folder: string } {
  const folder = join(bolmoFixtures, name);
  const c = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  const shape: TinyShape = {
    dModel: c.hidden_size,
    numLayers: c.num_hidden_layers,
    numHeads: c.num_attention_heads,
    dIntermediate: c.intermediate_size,
    windows: c.layer_types.map((t: string) => (t === 'full_attention' ? -1 : c.sliding_window - 1)),
    encoderLayers: c.num_local_encoder_layers,
    decoderLayers: c.num_local_decoder_layers,
    localHeads: c.num_local_heads,
    localIntermediate: c.local_intermediate_size,
    tokens: JSON.parse(readFileSync(join(folder, 'teacher/config.json'), 'utf8')).vocab_size,
  };
  const student = fill(tinyStudent(shape), join(folder, 'model.safetensors'));
  return { student, teacher: fill(tinyTeacher(shape), join(folder, 'teacher/model.safetensors')), folder };
}

function fill<M extends HasParameters>(model: M, file: string): M {
  const golden = readGolden(file);
  for (const [name, v] of model.parameters()) {
    const value = toTensor(golden.get(name)!);
    v.assign(value as never);
    value.dispose();
  }
  return model;
}
