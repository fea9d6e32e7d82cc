import { CheckpointError, ConfigError } from '../errors.js';

/** `[file name, model name]`; `{x}` stands for one dotted part, `{x...}` for any rest. A model name of `null` drops the tensor on import. */
export type KeyRule = readonly [from: string, to: string | null];

/** Renames the tensors of one published layout to another, and back. */
export interface KeyMap {
  /** File name → model name; `null` for a tensor that import drops. Names no rule matches stay. */
  toModel(name: string): string | null;
  /** Model name → file name. */
  toFile(name: string): string;
}

/**
 * Makes an invertible rename table. The first rule that matches wins; both sides of a rule must use the same placeholders.
 *
 * @throws ConfigError listing rules that cannot be inverted.
 * @example
 * const map = mapKeys([['backbone.layers.{i}.norm.{rest...}', 'layers.{i}.norm1.{rest...}'], ['lm_head.weight', 'lm_head.weight']]);
 * map.toModel('backbone.layers.3.norm.weight'); // 'layers.3.norm1.weight'
 */
export function mapKeys(rules: readonly KeyRule[]): KeyMap {
  const problems = rules.flatMap(([from, to]) => (to === null || placeholders(from).sort().join() === placeholders(to).sort().join() ? [] : [`${from} → ${to}`]));
  if (problems.length) throw new ConfigError(`[mapKeys] both sides of a rule need the same placeholders, once each: ${problems.join('; ')}. Hint: {i} stands for one part of a name, {rest...} for several.`);
  const forward = rules.map(([from, to]) => ({ match: matcher(from), to }));
  const backward = rules.flatMap(([from, to]) => (to === null ? [] : [{ match: matcher(to), to: from }]));
  const apply = (table: { match: RegExp; to: string | null }[], name: string): string | null => {
    for (const { match, to } of table) {
      const groups = match.exec(name)?.groups;
      if (groups || match.test(name)) return to === null ? null : to.replace(PLACEHOLDER, (_, key: string) => groups![key]!);
    }
    return name;
  };
  return { toModel: (name) => apply(forward, name), toFile: (name) => apply(backward, name)! };
}

/**
 * Renames many names and refuses to lose one.
 * @returns new name → old name. Dropped names are left out.
 * @throws CheckpointError when two names become the same.
 */
export function renameAll(names: Iterable<string>, rename: (name: string) => string | null): Map<string, string> {
  const out = new Map<string, string>();
  for (const name of names) {
    const next = rename(name);
    if (next === null) continue;
    const other = out.get(next);
    if (other !== undefined) throw new CheckpointError(`[mapKeys] ${other} and ${name} both become ${next}. Hint: the rules do not fit this layout.`);
    out.set(next, name);
  }
  return out;
}

const PLACEHOLDER = /\{(\w+)(?:\.\.\.)?\}/g;
const placeholders = (pattern: string): string[] => [...pattern.matchAll(PLACEHOLDER)].map((m) => m[1]!);

function matcher(pattern: string): RegExp {
  const parts = pattern.split(/(\{\w+(?:\.\.\.)?\})/).map((part) => {
    const rest = /^\{(\w+)(\.\.\.)?\}$/.exec(part);
    if (!rest) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return rest[2] ? `(?<${rest[1]}>.*)` : `(?<${rest[1]}>[^.]+)`;
  });
  return new RegExp(`^${parts.join('')}$`);
}
