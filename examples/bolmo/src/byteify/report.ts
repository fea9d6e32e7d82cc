import { compact, count, duration } from '@bytelm/example-shared/cli';
import type { Budget } from './run-stage.js';
import type { Score } from './score.js';
import type { ByteifySettings } from './settings.js';

/** What a byteification came to. */
export interface ByteifyReport {
  teacher: { name: string; bitsPerByte: number; bytesSeen: number | null };
  /** `null`: stage 1 was left out. */
  afterStage1: Score | null;
  student: Score;
  budget: {
    stage1: Budget | null;
    stage2: Budget;
    /** Bytes of both stages over those of the teacher. */
    shareOfTeacher: number | null;
  };
  /** Bytes that were scored, in windows of so many tokens, each alone, the begin symbol in front. */
  heldOut: { bytes: number; patches: number };
  parameters: number;
  seed: number;
  settings: ByteifySettings;
}

const bits = (value: number): string => value.toFixed(4);
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const over = (value: number, reference: number): string => `${value >= reference ? '+' : '−'}${Math.abs(100 * (value / reference - 1)).toFixed(2)} %`;

/** A table with its columns aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((r) => (r[i] ?? '').length)));
  return rows.map((r) => r.map((cell, i) => (i ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('   ').trimEnd()).join('\n');
}

/** Rows of a table of scores, each a student's; `reference`: what joint likelihoods are compared with. */
export function scoreRows(scores: readonly (readonly [name: string, score: Score])[], reference: number | undefined): string[][] {
  const row = ([name, s]: readonly [string, Score]) => [
    name,
    bits(s.trueBoundaries.joint) + (reference === undefined ? '' : ` (${over(s.trueBoundaries.joint, reference)})`),
    bits(s.trueBoundaries.folded),
    bits(s.predicted.joint),
    bits(s.predicted.folded),
    percent(s.boundaries.accuracy),
    s.bytesPerPatch.predictor.toFixed(2),
  ];
  return scores.map(row);
}

export const SCORE_HEAD = ['bits per byte', 'true, joint', 'true, folded', 'own, joint', 'own, folded', 'boundaries', 'bytes per patch'] as const;

export function reportText({ teacher, afterStage1, student, budget, heldOut }: ByteifyReport): string {
  const tokens = student.bytesPerPatch.tokenizer.toFixed(2);
  const scores = scoreRows([...(afterStage1 ? [['after stage 1', afterStage1] as const] : []), ['after stage 2', student]], teacher.bitsPerByte);
  return [
    table([[...SCORE_HEAD], ['teacher', bits(teacher.bitsPerByte), '', '', '', '', tokens], ...scores]),
    '',
    ...budgetLines([...(budget.stage1 ? [['stage 1', budget.stage1] as const] : []), ['stage 2', budget.stage2]]),
    ...(budget.shareOfTeacher === null ? [] : [`both stages: ${percent(budget.shareOfTeacher)} of the ${count(teacher.bytesSeen!)} bytes that the teacher has seen`]),
    `scored: ${count(heldOut.bytes)} held-out bytes in windows of ${heldOut.patches} tokens`,
  ].join('\n');
}

export const budgetLines = (stages: readonly (readonly [name: string, budget: Budget])[]): string[] =>
  stages.map(([name, b]) => `${name}: ${count(b.steps)} steps, ${count(b.bytes)} bytes, ${compact(b.flops)}FLOP, ${duration(b.seconds)}`);
