/**
 * H-Net: a byte language model that learns where to cut its text. arXiv 2507.07955.
 *
 *     bytes ─ embed ─ encoder ─ router ─ select ─► H-Net or Transformer ─► smooth, repeat ─(+)─ decoder ─ head ─ next byte
 *                        │         │ p, boundaries    over chunks only            ▲         │
 *                        │         └────────────────────────────────────────────┘         │
 *                        └──────────────────── residual_proj ─────────────────────────────┘
 *
 * Notable features
 * - The router compares each position with the one before it; where they differ enough (p > 0.5) a chunk begins.
 * - Only the vectors at boundaries go on: the main network is wide and deep because it runs on few positions.
 * - Stages nest: the main network may be such a model again, wider by a learned `pad_dimension`.
 * - Outputs of the main network are smoothed by an average whose weights are the router's probabilities, so that the cut is learned by gradient.
 * - A ratio loss holds the share of boundaries near a target.
 * - Encoders and decoders are Mamba-2; the residual stream, the router and the combination are float32.
 *
 * MambaByte and LlamaByte are configurations with a single stack and no router.
 */
import { Embedding, HierarchicalLM, LinearHead, SequenceLM, HierarchicalStage, Rng, type SequenceModel, type StageNames, type StageParts } from '@bytelm/core';
import { ChunkLayer, DeChunkLayer, PadWidth, ratioLosses, RoutingModule } from '@bytelm/dynamic-chunking';
import { resolveHNetConfig, stacksByStage, type ArchLayout, type HNetConfig } from './config.js';
import { additionsOf, INIT_STD, isotropic } from './isotropic.js';

export interface HNetOptions {
  /** Initial weights as published for training from scratch. Without it all are zero, waiting for a checkpoint. */
  rng?: Rng | undefined;
  /** Target positions per chunk of each stage for the ratio loss, outermost first. Without it there is no ratio loss. */
  ratioTargets?: readonly number[] | undefined;
  /** α of the ratio loss. Default 0.03. */
  ratioLossWeight?: number | undefined;
  /** Round chunk axes up to a multiple of this; 16 keeps the number of WebGPU buffers small. Default 1. */
  padChunksTo?: number | undefined;
  /** Send gradients to the routers through the confidence gate too. Default true; false is the paper's ablation. */
  straightThrough?: boolean | undefined;
  /** Ids that end a document, e.g. [255]: nothing after one sees anything before it. Default: none. */
  documentEnds?: readonly number[] | undefined;
}

/** Where published checkpoints keep a stage's parts. */
const STAGE_NAMES: Partial<StageNames> = { chunker: 'routing_module', main: 'main_network', upsample: '' };
const MODEL_NAMES = { embed: 'embeddings', backbone: 'backbone', head: 'lm_head' };

/** An H-Net (or, with a one-element layout, an isotropic byte model). */
export function createHNet(rawConfig: HNetConfig, options: HNetOptions = {}): SequenceLM {
  const config = resolveHNetConfig(rawConfig);
  const { rng, ratioTargets, ratioLossWeight = 0.03 } = options;
  const size = { vocabSize: config.vocab_size, dModel: config.d_model[0]! };
  const embed = new Embedding({ ...size, initStd: 1 }, rng?.fork('embeddings'));
  const head = new LinearHead({ ...size, initStd: INIT_STD, ...(config.tie_embeddings && { tiedTo: embed }) }, rng?.fork('lm_head'));
  const shared = { names: MODEL_NAMES, documentEnds: options.documentEnds, ...(ratioTargets?.length && { auxiliaryLoss: ratioLosses(ratioTargets, ratioLossWeight) }) };
  const { arch_layout: layout } = config;
  if (layout.length === 1) return new SequenceLM({ embed, head, backbone: innermost(layout, 0, 0, config, options) }, shared);
  return new HierarchicalLM({ embed, head, ...stageParts(layout, 0, 0, config, options) }, { ...shared, stageNames: STAGE_NAMES });
}

/** @param above additions to the residual streams of the outer stages: deeper stacks start with smaller output projections. */
function stageParts(layout: ArchLayout, stage: number, above: number, config: HNetConfig, options: HNetOptions): StageParts {
  const [encoder, inner, decoder] = layout as [string, ArchLayout, string];
  const rng = options.rng?.fork(`stage ${stage}`);
  const additions = above + additionsOf(encoder) + additionsOf(decoder);
  const settings = { config, stage, outInitStd: INIT_STD / Math.sqrt(additions) };
  const dModel = config.d_model[stage]!;
  return {
    encoder: isotropic(encoder, settings, rng?.fork('encoder')),
    chunker: new RoutingModule({ dModel, padTo: options.padChunksTo ?? 1 }),
    downsample: new ChunkLayer(),
    main: innerStage(inner, stage + 1, additions, config, options),
    upsample: new DeChunkLayer({ dModel, straightThrough: options.straightThrough }, rng?.fork('dechunk')),
    decoder: isotropic(decoder, settings, rng?.fork('decoder')),
  };
}

/** The main network of a stage: one more stage, or the innermost stack, in either case made wide enough. */
function innerStage(layout: ArchLayout, stage: number, above: number, config: HNetConfig, options: HNetOptions): SequenceModel {
  if (layout.length === 1) return innermost(layout, stage, above, config, options);
  const inner = new HierarchicalStage(stageParts(layout, stage, above, config, options), STAGE_NAMES);
  return new PadWidth(inner, { dModel: config.d_model[stage - 1]! });
}

function innermost([main]: [string], stage: number, above: number, config: HNetConfig, options: HNetOptions): SequenceModel {
  const additions = above + additionsOf(main);
  const stack = isotropic(main, { config, stage, outInitStd: INIT_STD / Math.sqrt(additions) }, options.rng?.fork(`stage ${stage}`));
  return new PadWidth(stack, { dModel: config.d_model[Math.max(0, stage - 1)]!, name: 'main_network' });
}

/** Number of stages with a router. */
export const numStages = (config: HNetConfig): number => stacksByStage(config.arch_layout).length - 1;

/** The stage that a published parameter name belongs to: embeddings and head to 0, everything under a `main_network` one further in. */
export function stageOfParameter(name: string, config: HNetConfig): number {
  const depth = (name.match(/(?:^|\.)main_network(?=\.)/g) ?? []).length;
  return Math.min(depth, numStages(config));
}
