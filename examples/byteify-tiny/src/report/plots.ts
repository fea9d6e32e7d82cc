import { join } from 'node:path';
import { plotSvg, PLOT_CONFIG } from '@bytelm/example-shared/page';
import type { Task } from '@bytelm/example-shared/spelling';
import { readLines } from '@bytelm/example-shared/train';
import type { TopLevelSpec } from 'vega-lite';
import type { SpellingScore } from '../phases/spelling.js';
import type { Results } from './results.js';

export interface Plot {
  file: string;
  caption: string;
  svg: string;
}

const BASE = { config: PLOT_CONFIG, width: 620 } as const;
const BITS = { type: 'quantitative', title: 'bits per byte', scale: { zero: false } } as const;

/** Plots of what is there. @param out Folder of the run, for its logs. */
export async function plotsOf(out: string, results: Results): Promise<Plot[]> {
  const specs = [curves(out, results), compression(results), spelling(results), merging(results)].filter((s) => s !== undefined);
  const plots: Plot[] = [];
  for (const { spec, ...plot } of specs) plots.push({ ...plot, svg: await plotSvg(spec) });
  return plots;
}

interface Spec {
  file: string;
  caption: string;
  spec: TopLevelSpec;
}

/** Held-out bits per byte of each training, by bytes seen. */
function curves(out: string, { teacher, student, control }: Results): Spec | undefined {
  const of = (model: string, folder: string, before = 0) => {
    let seen = before;
    return readLines(join(out, folder, 'log.jsonl')).flatMap((l) => {
      if (l.type === 'step') seen += l.bytes as number;
      return l.type === 'evaluation' ? [{ model, megabytes: seen / 1e6, bitsPerByte: l.bitsPerByte }] : [];
    });
  };
  const values = [
    ...(teacher ? of('teacher', 'teacher') : []),
    ...(student ? [...of('student, stage 1', 'student/stage1'), ...of('student, stage 2', 'student/stage2', student.report.budget.stage1?.bytes)] : []),
    ...(control ? of('control', 'control/stage2') : []),
  ];
  if (!values.length) return undefined;
  return {
    file: 'curves.svg',
    caption: 'Bits per byte of held-out text while training, by bytes of text seen. The teacher reads tokens, the students bytes.',
    spec: {
      ...BASE,
      height: 300,
      data: { values },
      mark: { type: 'line', point: true },
      encoding: { x: { field: 'megabytes', type: 'quantitative', title: 'megabytes seen' }, y: { field: 'bitsPerByte', ...BITS }, color: { field: 'model', type: 'nominal', title: null, sort: null } },
    },
  };
}

function compression({ compressed }: Results): Spec | undefined {
  if (compressed.length < 2) return undefined;
  const values = compressed.map(({ target, scores: { test } }) => ({ target: `target ${target.toFixed(2)}`, bytesPerPatch: test.bytesPerPatch.predictor, bitsPerByte: test.predicted.folded }));
  const x = { field: 'bytesPerPatch', type: 'quantitative', title: 'bytes per patch', scale: { zero: false } } as const;
  const y = { field: 'bitsPerByte', ...BITS };
  return {
    file: 'compression.svg',
    caption: 'Longer patches: the main network runs less often, and bits per byte rise.',
    spec: {
      ...BASE,
      height: 240,
      data: { values },
      layer: [
        { mark: { type: 'line', point: { filled: true, size: 70 } }, encoding: { x, y } },
        { mark: { type: 'text', dy: -12 }, encoding: { x, y, text: { field: 'target' } } },
      ],
    },
  };
}

function spelling({ recipe, spelling: { teacher, student } }: Results): Spec | undefined {
  if (!teacher || !student) return undefined;
  // Where hardly anything is answered exactly, how likely the right answers are says more.
  const isSilent = Math.max(teacher.after.accuracy, student.after.accuracy) < 0.05 && teacher.after.bitsPerByte !== undefined && student.after.bitsPerByte !== undefined;
  const valueOf = ({ tasks, bitsPerByte }: SpellingScore, task: Task) => (isSilent ? bitsPerByte?.[task] : tasks[task]?.accuracy);
  const values = recipe.spelling.tasks.flatMap((task) => [
    { task, model: 'BPE teacher', value: valueOf(teacher.after, task) },
    { task, model: 'byte student', value: valueOf(student.after, task) },
  ]);
  return {
    file: 'spelling.svg',
    caption: isSilent ? 'Bits per byte of right answers about words that no line of training had; exact answers were next to none.' : 'Exact answers about words that no line of training had.',
    spec: {
      ...BASE,
      height: 200,
      data: { values },
      mark: 'bar',
      encoding: {
        y: { field: 'task', type: 'nominal', title: null, sort: null },
        yOffset: { field: 'model', type: 'nominal', sort: null },
        x: isSilent ? { field: 'value', type: 'quantitative', title: 'bits per byte of the right answer' } : { field: 'value', type: 'quantitative', title: 'share right', axis: { format: '%' }, scale: { domain: [0, 1] } },
        color: { field: 'model', type: 'nominal', title: null, sort: null },
      },
    },
  };
}

function merging({ teacher, tuned, student, merged }: Results): Spec | undefined {
  if (!teacher || !tuned || !student || !merged) return undefined;
  const values = [
    { model: 'teacher', when: 'before', bitsPerByte: teacher.scores.other },
    { model: 'teacher', when: 'after', bitsPerByte: tuned.scores.other },
    { model: 'student', when: 'before', bitsPerByte: student.stage2.other.predicted.joint },
    { model: 'student', when: 'after', bitsPerByte: merged.scores.other.predicted.joint },
  ];
  return {
    file: 'merging.svg',
    caption: 'Held-out text of the other kind: the teacher before and after fine-tuning, the student before and after that difference was added to it.',
    spec: {
      ...BASE,
      height: 200,
      data: { values },
      mark: { type: 'line', point: { filled: true, size: 70 } },
      encoding: { x: { field: 'when', type: 'nominal', title: null, sort: null, axis: { labelAngle: 0 } }, y: { field: 'bitsPerByte', ...BITS }, color: { field: 'model', type: 'nominal', title: null, sort: null } },
    },
  };
}
