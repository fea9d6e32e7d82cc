import { count, duration } from '@bytelm/example-shared/cli';
import type { Score } from '@bytelm/example-bolmo';
import type { Task } from '@bytelm/example-shared/spelling';
import type { StudentScores } from '../phases/score.js';
import type { SpellingScore } from '../phases/spelling.js';
import type { Results } from './results.js';

export interface Table {
  title: string;
  /** Below it, what its columns mean. */
  note?: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

const bits = (value: number): string => value.toFixed(4);
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** Everything measured, as tables; those without a row yet are left out. */
export const tablesOf = (results: Results): Table[] => [models(results), compression(results), spelling(results), merging(results), effort(results)].filter((t) => t.rows.length);

const studentRow = (name: string, seen: string, { trueBoundaries: t, predicted: p, boundaries, bytesPerPatch }: Score): string[] => [
  name, seen, bits(t.joint), bits(p.joint), bits(t.folded), bits(p.folded), percent(boundaries.accuracy), bytesPerPatch.predictor.toFixed(2),
];

function models({ teacher, student, model, control }: Results): Table {
  const rows: string[][] = [];
  if (teacher) rows.push(['teacher, over tokens', count(teacher.bytesSeen), bits(teacher.scores.test), '', '', '', '', '']);
  if (student?.stage1) rows.push(studentRow('student after stage 1', count(student.report.budget.stage1?.bytes ?? 0), student.stage1.test));
  if (student) rows.push(studentRow('student after stage 2', `+ ${count(student.report.budget.stage2.bytes)}`, student.stage2.test));
  if (model) rows.push(studentRow(`the same in bfloat16, ${(model.bytes / 1e6).toFixed(1)} MB`, '', model.scores.test));
  if (control) rows.push(studentRow('control, without stage 1', count(control.report.budget.stage2.bytes), control.stage2.test));
  return {
    title: 'Bits per byte of the test text',
    note: "Joint: bytes and boundaries together, a likelihood as the teacher's of its tokens; comparable with it. Folded: bytes given boundaries, which have looked one byte ahead; lower, and comparable among students only. True: patches are the tokens; own: the boundary predictor cuts.",
    head: ['model', 'bytes seen', 'joint, true', 'joint, own', 'folded, true', 'folded, own', 'boundaries right', 'bytes per patch'],
    rows,
  };
}

const compression = ({ compressed, recipe }: Results): Table => ({
  title: 'Higher compression',
  note: `Each from the student after stage 2, ${count(recipe.compress.bytes)} bytes more; the first target is no compression, so all have trained as long.`,
  head: ['target, bytes per patch', 'bytes per patch', 'folded, own', 'main network runs per kB'],
  rows: compressed.map(({ target, scores: { test } }) => [target.toFixed(2), test.bytesPerPatch.predictor.toFixed(2), bits(test.predicted.folded), (1000 / test.bytesPerPatch.predictor).toFixed(0)]),
});

function spelling({ recipe, spelling: { teacher, student } }: Results): Table {
  const { tasks } = recipe.spelling;
  const right = (tally: { right: number; count: number } | undefined) => (tally ? `${tally.right} of ${tally.count}` : '');
  const bitsOf = (score: SpellingScore, task: Task) => (score.bitsPerByte?.[task] === undefined ? '' : bits(score.bitsPerByte[task]));
  const row = (name: string, score: SpellingScore) => [name, ...tasks.map((t) => right(score.tasks[t])), ...tasks.map((t) => bitsOf(score, t))];
  const rows = [
    ...(teacher ? [row('teacher', teacher.before), row('teacher, trained on lines', teacher.after)] : []),
    ...(student ? [row('student', student.before), row('student, trained on lines', student.after)] : []),
  ];
  const { lines, textBytes } = recipe.spelling;
  return { title: 'Spelling: exact answers to CUTE rows', note: `Both were trained further on ${count(textBytes)} characters of text with ${count(lines)} lines like "Spell out the word …" between the paragraphs. None of the lines has a word of the rows. Bits per byte: of the right answer and its closing quote, boundaries included.`, head: ['model', ...tasks, ...tasks.map((t) => `${t}, bits per byte`)], rows };
}

const studentRowOf = (name: string, { other, test }: StudentScores): string[] => [name, bits(other.predicted.joint), bits(other.predicted.folded), bits(test.predicted.joint), bits(test.predicted.folded)];

function merging({ teacher, tuned, student, merged }: Results): Table {
  const rows: string[][] = [];
  if (teacher) rows.push(['teacher', bits(teacher.scores.other), '', bits(teacher.scores.test), '']);
  if (tuned) rows.push(['teacher, fine-tuned', bits(tuned.scores.other), '', bits(tuned.scores.test), '']);
  if (student && merged) rows.push(studentRowOf('student', student.stage2), studentRowOf('student with the difference added', merged.scores));
  return { title: 'Task arithmetic', note: 'Bits per byte; students with their own boundaries. Only layers and norms of the teacher were fine-tuned, which is what the student shares; the student saw none of the other text.', head: ['model', 'held-out text of the other kind', 'folded', 'test text', 'folded'], rows: tuned ? rows : [] };
}

const effort = ({ phases }: Results): Table => ({
  title: 'What it took',
  head: ['phase', 'time'],
  rows: [...phases.map(({ title, seconds }) => [title, duration(seconds)]), ['all', duration(phases.reduce((sum, p) => sum + p.seconds, 0))]],
});

export const markdownTable = ({ title, note, head, rows }: Table): string =>
  [`## ${title}`, '', `| ${head.join(' | ')} |`, `|${head.map(() => '---|').join('')}`, ...rows.map((r) => `| ${r.join(' | ')} |`), ...(note ? ['', note] : [])].join('\n');
