import { ConfigError } from '@bytelm/core';

/**
 * Learning-rate multiplier of each stage, outermost first: `λ_s = sqrt(N_gpt · Π_{i≥s} N_i / Π_i N_i · D_S / D_s)` with N_S = 1: outer stages
 * see more positions a step and are narrower, so they take larger steps.
 *
 * @param options.bytesPerChunk N of each stage but the innermost (positions per chunk).
 * @param options.widths D of each stage, outermost first; one more than `bytesPerChunk`.
 * @param options.reference Bytes a token of the model whose learning rate is scaled; 4.6 in the paper (GPT-2 tokens).
 * @source H-Net, arXiv 2507.07955, eq. 11.
 */
export function stageLrMultipliers({ bytesPerChunk, widths, reference = 4.6 }: { bytesPerChunk: readonly number[]; widths: readonly number[]; reference?: number }): number[] {
  if (widths.length !== bytesPerChunk.length + 1) {
    throw new ConfigError(`[stageLrMultipliers] ${widths.length} widths need ${widths.length - 1} chunk sizes, got ${bytesPerChunk.length}.`);
  }
  const product = (from: number) => bytesPerChunk.slice(from).reduce((a, n) => a * n, 1);
  const innermost = widths[widths.length - 1]!;
  return widths.map((d, s) => Math.sqrt(((reference * product(s)) / product(0)) * (innermost / d)));
}
