import type { ByteEmbedder, ByteHead } from '../contracts/index.js';
import { SequenceLM, type SequenceLMOptions } from './sequence-lm.js';
import { HierarchicalStage, type StageNames, type StageParts } from './stage.js';

export interface HierarchicalLMParts extends StageParts {
  embed: ByteEmbedder;
  head: ByteHead;
}

export interface HierarchicalLMOptions extends SequenceLMOptions {
  /** Parameter prefixes inside the backbone. */
  stageNames?: Partial<StageNames>;
}

/**
 * A hierarchical byte language model out of eight exchangeable parts: H-Net, BLT, Bolmo and everything between them.
 *
 * @example
 * const spaced = new HierarchicalLM({ ...hnet.parts, chunker: new SpacePatcher() });
 */
export class HierarchicalLM extends SequenceLM {
  readonly parts: Readonly<HierarchicalLMParts>;
  readonly options: HierarchicalLMOptions;

  constructor(parts: HierarchicalLMParts, options: HierarchicalLMOptions = {}) {
    const { embed, head, ...stage } = parts;
    super({ embed, head, backbone: new HierarchicalStage(stage, options.stageNames, { boundaryFrom: head.boundaryFrom }) }, options);
    this.parts = parts;
    this.options = options;
  }
}
