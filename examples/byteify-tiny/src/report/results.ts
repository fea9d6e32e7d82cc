import type { Recipe } from '../recipe.js';
import { phasesOf, type BoundaryCeiling, type CompressResult, type MergeResult, type ModelResult, type StudentResult, type TeacherResult } from '../phases/index.js';
import { readRecord } from '../phases/phase.js';
import type { SpellingScores } from '../phases/spelling.js';

/** What all phases found so far. */
export interface Results {
  recipe: Recipe;
  phases: { name: string; title: string; seconds: number }[];
  teacher?: TeacherResult;
  student?: StudentResult;
  /** What the student is in bfloat16. */
  model?: ModelResult;
  control?: StudentResult;
  compressed: CompressResult[];
  tuned?: TeacherResult;
  merged?: MergeResult;
  spelling: { teacher?: SpellingScores; student?: SpellingScores };
  ceiling?: BoundaryCeiling;
}

/** Reads what is done in a folder. */
export function readResults(out: string, recipe: Recipe): Results {
  const phases = phasesOf(recipe).flatMap(({ name, title }) => {
    const record = readRecord(out, name);
    return record?.done ? [{ name, title, seconds: record.seconds, result: record.result }] : [];
  });
  const of = <R>(name: string) => phases.find((p) => p.name === name)?.result as R | undefined;
  const some = <K extends string, R>(key: K, value: R | undefined) => (value === undefined ? {} : ({ [key]: value } as Record<K, R>));
  return {
    recipe,
    phases: phases.map(({ name, title, seconds }) => ({ name, title, seconds })),
    ...some('teacher', of<TeacherResult>('teacher')),
    ...some('student', of<StudentResult>('student')),
    ...some('model', of<ModelResult>('model')),
    ...some('control', of<StudentResult>('control')),
    compressed: recipe.compress.targets.flatMap((_, i) => of<CompressResult>(`compress-${i + 1}`) ?? []),
    ...some('tuned', of<TeacherResult>('tuned')),
    ...some('merged', of<MergeResult>('merged')),
    ...some('ceiling', of<BoundaryCeiling>('ceiling')),
    spelling: { ...some('teacher', of<SpellingScores>('spelling-teacher')), ...some('student', of<SpellingScores>('spelling-student')) },
  };
}
