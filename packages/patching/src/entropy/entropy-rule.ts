import { ConfigError } from '@bytelm/core';

/** When an entropy opens a patch (blt.md 2.2). All values in nats. */
export interface EntropyRule {
  /** θ: global by default, of the rise with `monotonic`. Released checkpoints: 1.335442066192627. */
  threshold: number;
  /** Approximate monotonic rule: the entropy rises by more than θ. It wins over `addThreshold`. Default false. */
  monotonic?: boolean | undefined;
  /** Global and monotonic: above θ, and a rise of more than this. */
  addThreshold?: number | null | undefined;
}

/** An `EntropyRule` in the precision that entropies have. */
export interface PreparedRule {
  threshold: number;
  monotonic: boolean;
  addThreshold: number | undefined;
}

/**
 * @param vocabSize V of the entropy model: no entropy is above ln V. Default: no upper limit.
 * @throws ConfigError that lists every value that is out of range.
 */
export function prepareRule(where: string, rule: EntropyRule, vocabSize = Infinity): PreparedRule {
  const { threshold, monotonic = false, addThreshold } = rule;
  const most = Math.log(vocabSize);
  const problems: string[] = [];
  const check = (name: string, value: number, least: number) => {
    if (!(value >= least && value < most && Number.isFinite(value))) {
      problems.push(`${name}: expected ${least} ≤ ${name} < ${Number.isFinite(most) ? `ln ${vocabSize} = ${most.toFixed(3)}` : '∞'} nats, got ${value}`);
    }
  };
  check('threshold', threshold, monotonic ? -most : 0);
  if (addThreshold != null) check('addThreshold', addThreshold, -most);
  if (problems.length) throw new ConfigError(`[${where}] ${problems.join('; ')}. Hint: calibrateThreshold finds one for a wished bytes per chunk.`);
  return { threshold: Math.fround(threshold), monotonic, addThreshold: addThreshold == null ? undefined : Math.fround(addThreshold) };
}

/**
 * Does the id behind position i open a patch? For i ≥ 1; the id at 1 always does.
 *
 * Checkpoint: in both monotonic modes position 2 is forced, and with `addThreshold` position 3 never opens one: the published code
 * reads a mask there that is still empty (blt.md 2.2).
 *
 * @param i position in the document. @param e its entropy. @param before the entropy at i − 1. Both are float32 values.
 */
export function opensNext(rule: PreparedRule, i: number, e: number, before: number): boolean {
  if (rule.monotonic) return i === 1 || Math.fround(e - before) > rule.threshold;
  if (rule.addThreshold === undefined) return e > rule.threshold;
  return i === 1 || (i > 2 && e > rule.threshold && Math.fround(e - before) > rule.addThreshold);
}

export interface StartsOptions extends EntropyRule {
  /** A patch of this many ids ends whatever the entropy. Default: no limit. */
  maxChunkLength?: number | null | undefined;
  /** Is a start at N, the id to come, among the starts? Default true. */
  nextToken?: boolean | undefined;
}

/**
 * Entropies of one document → where its patches start: ascending, 0 and 1 always among them (as far as they exist).
 *
 * @param entropies (N) nats: the uncertainty about the id behind each. The first one is not looked at.
 * @throws ConfigError
 * @source BLT, arXiv 2412.09871, section 2.3, with what its published code does.
 * @example
 * startsFromEntropy([9, 0.1, 2, 0.3], { threshold: 1.33 }); // [0, 1, 3]
 */
export function startsFromEntropy(entropies: ArrayLike<number>, options: StartsOptions): number[] {
  const rule = prepareRule('startsFromEntropy', options);
  const { maxChunkLength, nextToken = true } = options;
  const most = maxChunkLength ?? Infinity;
  const starts = [0];
  const end = nextToken ? entropies.length : entropies.length - 1;
  for (let i = 0; i < end; i++) {
    const open = i + 1 - starts[starts.length - 1]!;
    if (i === 0 || open >= most || opensNext(rule, i, Math.fround(entropies[i]!), Math.fround(entropies[i - 1]!))) starts.push(i + 1);
  }
  return starts;
}
