import { ConfigError } from '@bytelm/core';

export type Json = Record<string, unknown>;

export const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);

/** What a whole configuration file yields besides values. */
export interface Findings {
  problems: string[];
  unknown: Record<string, unknown>;
}

interface NumberRule {
  /** For a missing key; without one the key is required. */
  or?: number;
  whole?: boolean;
  /** Smallest allowed value. Default: above 0. */
  min?: number;
}

/**
 * Reads one JSON object key by key, noting every problem instead of stopping at the first, and the keys nobody asked for.
 */
export class KeyReader {
  private readonly asked = new Set<string>();

  constructor(
    private readonly source: Json,
    private readonly path: string,
    private readonly findings: Findings,
  ) {}

  /** The value as it is; `undefined` when absent. */
  take(key: string): unknown {
    this.asked.add(key);
    return this.source[key];
  }

  /** Is there a value, `null` not counting as one? */
  has(key: string): boolean {
    return this.source[key] !== undefined && this.source[key] !== null;
  }

  problem(key: string, what: string): void {
    this.findings.problems.push(`${this.path}${key}: ${what}`);
  }

  number(key: string, { or, whole = true, min }: NumberRule = {}): number {
    const v = this.take(key) ?? or;
    const ok = typeof v === 'number' && Number.isFinite(v) && (min === undefined ? v > 0 : v >= min) && (!whole || Number.isInteger(v));
    if (ok) return v;
    const range = min === undefined ? 'above 0' : `from ${min} up`;
    this.problem(key, `expected a ${whole ? 'whole ' : ''}number ${range}, got ${show(v)}`);
    return or ?? 1;
  }

  /** A number, or `null` for an explicit null; a missing key gives `or`. */
  nullable(key: string, { or, ...rule }: Omit<NumberRule, 'or'> & { or: number | null }): number | null {
    const v = this.take(key);
    if (v === undefined) return or;
    return v === null ? null : this.number(key, rule);
  }

  boolean(key: string, or: boolean): boolean {
    const v = this.take(key) ?? or;
    if (typeof v !== 'boolean') this.problem(key, `expected true or false, got ${show(v)}`);
    return v === true;
  }

  choice<T extends string>(key: string, values: readonly T[], or: T): T {
    const v = (this.take(key) ?? or) as T;
    if (!values.includes(v)) this.problem(key, `expected one of ${values.join(', ')}, got ${show(v)}`);
    return v;
  }

  /** A list of whole numbers; also written as a string, "3,4,5". */
  numbers(key: string, or: number[]): number[] {
    const v = this.take(key) ?? or;
    const list = typeof v === 'string' ? v.split(',').map((s) => (s.trim() ? Number(s) : NaN)) : v;
    if (Array.isArray(list) && list.every((n) => Number.isInteger(n) && n > 0)) return list as number[];
    this.problem(key, `expected a list of whole numbers above 0, got ${show(v)}`);
    return or;
  }

  /** A nested object; one that is missing reads like an empty one. */
  section(key: string): KeyReader {
    const v = this.take(key);
    if (v !== undefined && v !== null && !isObject(v)) this.problem(key, `expected an object, got ${show(v)}`);
    return new KeyReader(isObject(v) ? v : {}, `${this.path}${key}.`, this.findings);
  }

  /** A key whose only supported values are these; a missing one is fine. */
  only(key: string, values: readonly unknown[], why: string): void {
    const v = this.take(key);
    if (v !== undefined && !values.includes(v)) this.problem(key, `${show(v)} is not supported (${why})`);
  }

  /** Keys that say nothing about the computation. */
  ignore(keys: readonly string[]): this {
    for (const k of keys) this.asked.add(k);
    return this;
  }

  /** To be called last: notes what was not asked for. */
  finish(): void {
    for (const [k, v] of Object.entries(this.source)) if (!this.asked.has(k)) this.findings.unknown[this.path + k] = v;
  }
}

const show = (v: unknown): string => (v === undefined ? 'nothing' : JSON.stringify(v));

/** @throws ConfigError listing everything. */
export function failOn(where: string, problems: readonly string[]): void {
  const each = [...new Set(problems)];
  if (each.length) throw new ConfigError(`[${where}] ${each.length} problem${each.length > 1 ? 's' : ''}:\n  ${each.join('\n  ')}`);
}

/** Writes values back at their dotted paths, where there is nothing yet. */
export function putBack(target: Json, unknown: Record<string, unknown>): Json {
  for (const [path, value] of Object.entries(unknown)) {
    const keys = path.split('.');
    let at = target;
    for (const k of keys.slice(0, -1)) at = isObject(at[k]) ? (at[k] as Json) : ((at[k] = {}) as Json);
    at[keys.at(-1)!] ??= value;
  }
  return target;
}
