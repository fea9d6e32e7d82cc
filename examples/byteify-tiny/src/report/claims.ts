import type { SpellingScore } from '../phases/spelling.js';
import type { Results } from './results.js';

export interface Claim {
  claim: string;
  found: 'found' | 'not found' | 'not decided';
  /** The numbers behind it. */
  because: string;
}

/** Between two single runs, a smaller difference in bits per byte says nothing. */
export const LEAST = 0.02;

const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;
const bits = (value: number): string => value.toFixed(4);
const yes = (is: boolean): Claim['found'] => (is ? 'found' : 'not found');

/** What the run says for or against each claim; those whose numbers are not there yet are left out. */
export function claimsOf(results: Results): Claim[] {
  return [...byteified(results), ...againstControl(results), ...compression(results), ...spelling(results), ...merging(results)];
}

function byteified({ teacher, student, ceiling }: Results): Claim[] {
  if (!teacher || !student) return [];
  const base = teacher.scores.test;
  const { accuracy } = student.stage2.test.boundaries;
  const above = (joint: number) => joint / base - 1;
  const one = student.stage1 && above(student.stage1.test.trueBoundaries.joint);
  // Stage 2 trains with the predictor's boundaries: these are the ones the model is good at.
  const [two, given] = [student.stage2.test.predicted.joint, student.stage2.test.trueBoundaries.joint].map(above) as [number, number];
  const { stage1, stage2 } = student.report.budget;
  const shares = [...(stage1 ? [stage1] : []), stage2].map((s) => s.bytes / teacher.bytesSeen);
  const first = student.stage1?.test.boundaries.accuracy;
  return [
    { claim: 'the boundary predictor agrees with the tokenizer at 99 % of the bytes or more', found: yes(accuracy >= 0.99), because: `${first === undefined ? '' : `${percent(first, 2)} after stage 1, `}${percent(accuracy, 2)} after stage 2${ceiling ? `; a rule on the word so far and one byte ahead can be right at ${percent(ceiling.accuracy, 2)} at most` : ''}` },
    ...(one === null ? [] : [{ claim: "after stage 1 the student is within 5 % of the teacher's bits per byte", found: yes(one <= 0.05), because: `${percent(one)} above ${bits(base)}; bytes and boundaries together, the tokenizer's boundaries` }]),
    { claim: 'after stage 2 within 3 %', found: yes(two <= 0.03), because: `${percent(two)} above with its own boundaries, which stage 2 trains with; ${percent(given)} with the tokenizer's` },
    { claim: "with at most a quarter of the teacher's bytes for each stage", found: yes(shares.every((s) => s <= 0.25)), because: shares.map((s) => percent(s)).join(' and ') },
  ];
}

function againstControl({ student, control }: Results): Claim[] {
  if (!student || !control) return [];
  const difference = control.stage2.test.predicted.joint - student.stage2.test.predicted.joint;
  const found = Math.abs(difference) < LEAST ? 'not decided' : yes(difference > 0);
  return [{ claim: 'without stage 1, for as many FLOPs, the student is worse', found, because: `${difference < 0 ? '' : '+'}${bits(difference)} bits per byte${found === 'not decided' ? `; below ${LEAST} one seed says nothing` : ''}` }];
}

function compression({ recipe, compressed }: Results): Claim[] {
  if (compressed.length < recipe.compress.targets.length) return [];
  const folded = compressed.map((c) => c.scores.test.predicted.folded);
  const patches = compressed.map((c) => c.scores.test.bytesPerPatch.predictor);
  const rises = folded.every((b, i) => i === 0 || b >= folded[i - 1]!);
  const longer = patches.every((p, i) => i === 0 || p > patches[i - 1]!);
  const step = folded[1]! - folded[0]!;
  return [
    { claim: 'longer patches cost bits per byte, smoothly: more with each target, less than 0.1 at the second', found: yes(rises && longer && step < 0.1), because: compressed.map((c, i) => `${bits(folded[i]!)} at ${patches[i]!.toFixed(2)} bytes a patch (target ${c.target.toFixed(2)})`).join(', ') },
  ];
}

function spelling({ spelling: { teacher, student } }: Results): Claim[] {
  if (!teacher || !student) return [];
  const [t, s] = [teacher.after.accuracy, student.after.accuracy];
  const likely = (score: SpellingScore): number[] => Object.values(score.bitsPerByte ?? {});
  const [own, others] = [likely(student.after), likely(teacher.after)].map((each) => each.reduce((a, b) => a + b, 0) / each.length) as [number, number];
  return [
    { claim: 'after the same lines about spelling, the byte student answers far more about words it has not seen than the BPE teacher', found: yes(s >= 2 * t && s - t >= 0.1), because: `${percent(s)} against ${percent(t)}; before: ${percent(student.before.accuracy)} and ${percent(teacher.before.accuracy)}` },
    ...(own && others ? [{ claim: 'the right answers are much more likely to it, by a fifth of the bits at least', found: yes(own <= 0.8 * others), because: `${bits(own)} against ${bits(others)} bits per byte of an answer, mean over tasks` }] : []),
  ];
}

function merging({ teacher, tuned, student, merged }: Results): Claim[] {
  if (!teacher || !tuned || !student || !merged) return [];
  const moved = teacher.scores.other - tuned.scores.other;
  const [before, after] = [student.stage2.other.predicted, merged.scores.other.predicted];
  const shares = [before.joint - after.joint, before.folded - after.folded].map((own) => own / moved);
  const found = moved < LEAST || new Set(shares.map((s) => s >= 0.5)).size > 1 ? 'not decided' : yes(shares[0]! >= 0.5);
  return [{ claim: 'merging what fine-tuning changed in the teacher moves the student at least half as far, on held-out text of that kind', found, because: `teacher ${bits(-moved)}, student ${bits(after.joint - before.joint)} bits per byte: ${percent(shares[0]!)} as far; of bytes alone ${percent(shares[1]!)}` }];
}
