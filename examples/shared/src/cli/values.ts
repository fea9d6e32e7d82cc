import { InvalidArgumentError } from 'commander';

/** Readers of command-line values. Each throws commander's error, which names the option. */

const refuse = (text: string, expected: string): never => {
  throw new InvalidArgumentError(`Expected ${expected}, got '${text}'.`);
};

export const whole =
  (min = 1, max = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const n = Number(text.replace(/[_,](?=\d{3})/g, ''));
    return text.trim() && Number.isInteger(n) && n >= min && n <= max ? n : refuse(text, `a whole number ${max < 1e15 ? `from ${min} to ${max}` : `of at least ${min}`}`);
  };

export const real =
  (min: number, max = Infinity) =>
  (text: string): number => {
    const n = Number(text);
    return text.trim() && n >= min && n <= max && Number.isFinite(n) ? n : refuse(text, `a number ${max < Infinity ? `from ${min} to ${max}` : `of at least ${min}`}`);
  };

/** `START:END` in bytes; a missing start is 0, a missing end the end of the data. */
export type ByteRange = [start: number, end: number | null];

export function byteRange(text: string): ByteRange {
  const match = /^(\d*):(\d*)$/.exec(text.replace(/_/g, ''));
  if (!match || text === ':') return refuse(text, 'START:END in bytes, e.g. 0:8042244 or 8042244:');
  const start = Number(match[1] || 0);
  const end = match[2] ? Number(match[2]) : null;
  return end === null || end > start ? [start, end] : refuse(text, 'an END above START');
}

/** `1.5,2` → [1.5, 2]; `none` or an empty text → []. */
export function numberList(text: string): number[] {
  if (/^(none)?$/.test(text.trim())) return [];
  const values = text.split(',').map((part) => (part.trim() ? Number(part) : NaN));
  return values.every((v) => Number.isFinite(v) && v >= 0) ? values : refuse(text, 'numbers with commas between them, e.g. 2.5,1');
}

/** For options that may be given several times. */
export const collect = (text: string, earlier: string[] = []): string[] => [...earlier, text];
