import { ConfigError, Embedding, LinearHead, ResidualStack, SequenceLM, type Rng } from '@bytelm/core';
import { loadParameters, mapKeys, openPretrained, type LoadReport, type PretrainedOptions, type TensorSource } from '@bytelm/core/io';
import { Mamba2Block } from '../modules/mamba2-block.js';
import { GatedMlp } from './gated-mlp.js';
import { fromPublishedConfig, type Mamba2LMConfig } from './lm-config.js';

/** The names of transformers' checkpoints; everything else is called alike. */
export const HF_KEY_MAP = mapKeys([['backbone.embeddings.weight', 'backbone.embedding.weight']]);

/**
 * Mamba-2 language model: `h = embed(ids); for each layer: h = h + mixer(rmsnorm(h)); logits = head(rmsnorm_f(h))`.
 *
 * Notable features: native names are those of state-spaces/mamba (`HF_KEY_MAP` gives transformers'); the residual stream is float32;
 * vocabularies are padded, so there are more logits than tokens; the step-size limits hold in decoding too, where the references forget them.
 *
 * @source Dao & Gu, arXiv 2405.21060.
 */
export class Mamba2LM extends SequenceLM {
  readonly config: Readonly<Mamba2LMConfig>;

  /** @throws ConfigError */
  constructor(config: Mamba2LMConfig, rng?: Rng) {
    const { nLayers, vocabSize, tieEmbeddings = true, dIntermediate = 0, extra: _, ...mixer } = config;
    for (const [name, v] of Object.entries({ nLayers, vocabSize })) {
      if (!(Number.isInteger(v) && v > 0)) throw new ConfigError(`[Mamba2LM] \`${name}\`: expected a positive whole number, got ${v}.`);
    }
    const { dModel } = config;
    const outInitScale = 1 / Math.sqrt(nLayers * (dIntermediate ? 2 : 1));
    const blocks = Array.from({ length: nLayers }, (_, i) => {
      const own = rng?.fork(`layer ${i}`);
      const mlp = dIntermediate ? new GatedMlp({ dModel, dIntermediate, outInitScale }, own?.fork('mlp')) : undefined;
      return new Mamba2Block({ outInitScale, ...mixer, mlp, normName: 'norm' }, own);
    });
    const embed = new Embedding({ vocabSize, dModel, initStd: 0.02 }, rng?.fork('embedding'));
    super(
      {
        embed,
        backbone: new ResidualStack(blocks, { names: { layers: 'layers', norm: 'norm_f' }, eps: config.eps ?? 1e-5 }),
        head: new LinearHead({ vocabSize, dModel, initStd: 0.02, ...(tieEmbeddings && { tiedTo: embed }) }, rng?.fork('head')),
      },
      { names: { embed: 'backbone.embedding', backbone: 'backbone', head: 'lm_head' } },
    );
    this.config = config;
  }

  /**
   * Loads a published model: a folder, a weight file next to its config, or a hub repository (`owner/name`).
   *
   * @param options.config Instead of the published one.
   * @throws CheckpointError, ConfigError
   * @example
   * const model = await Mamba2LM.fromPretrained('state-spaces/mamba2-130m');
   */
  static async fromPretrained(idOrPath: string, options: PretrainedOptions & { config?: Mamba2LMConfig } = {}): Promise<Mamba2LM> {
    const files = await openPretrained(idOrPath, options);
    try {
      if (!options.config && !files.config) {
        throw new ConfigError(`[Mamba2LM.fromPretrained] ${idOrPath}: there is no config.json or params.json. Hint: pass \`config\`.`);
      }
      const model = new Mamba2LM(withVocabularyOf(files.tensors, options.config ?? fromPublishedConfig(files.config!)));
      try {
        await model.load(files.tensors);
      } catch (e) {
        model.dispose();
        throw e;
      }
      return model;
    } finally {
      await files.close();
    }
  }

  /** Fills the parameters from a checkpoint in any of the published layouts. */
  load(tensors: TensorSource): Promise<LoadReport> {
    return loadParameters(this, tensors, { map: HF_KEY_MAP, prefix: prefixOf(tensors) });
  }
}

/** Codestral's first files put `model.` in front of every name. */
const prefixOf = (tensors: TensorSource): string | undefined => (tensors.names.every((n) => n.startsWith('model.')) ? 'model' : undefined);

/** The embedding's rows are the padded vocabulary, whatever the config's rounding says. */
function withVocabularyOf(tensors: TensorSource, config: Mamba2LMConfig): Mamba2LMConfig {
  const name = tensors.names.find((n) => /(^|\.)backbone\.embeddings?\.weight$/.test(n));
  return name ? { ...config, vocabSize: tensors.info(name).shape[0]! } : config;
}
