import * as tf from '@tensorflow/tfjs-core';
import { byteRows, teacherOf, tokenLogLikelihoods, tokensInMemory, type SubwordTokenizer } from '@bytelm/distill';
import { findBolmo, findTokenizer, loadBolmo, scoreStudent, type FullScore } from '@bytelm/example-bolmo';
import { loadSourceLM, loadTokenizer, openSource, tokensOfText, type SourceLM } from '@bytelm/example-olmo';
import { breathe, startBackend } from '@bytelm/example-shared/cli';
import { readTexts } from './texts.js';
import type { Recipe } from '../recipe.js';

export interface TeacherScores {
  /** Bits per byte of each text. */
  test: number;
  other: number;
}

export interface StudentScores {
  test: FullScore;
  other: FullScore;
}

/** Tokens of a window, which is scored alone, and windows at once: the same for every model. */
const WINDOWS = { patches: 256, batch: 4 } as const;

/** A subword model on both texts. */
export async function scoreTeacherFolder(folder: string, recipe: Recipe): Promise<TeacherScores> {
  await startBackend(recipe.backend);
  const source = await openSource(folder);
  const tokenizer = await loadTokenizer(source);
  const model = await loadSourceLM(source);
  try {
    const { test, other } = await readTexts(recipe);
    return { test: await scoreTeacher(model, tokenizer, test), other: await scoreTeacher(model, tokenizer, other) };
  } finally {
    model.dispose();
  }
}

/** A byteified model on both texts. */
export async function scoreStudentFolder(folder: string, recipe: Recipe): Promise<StudentScores> {
  await startBackend(recipe.backend);
  const source = await findBolmo(folder);
  const tokenizer = await findTokenizer(source);
  const model = await loadBolmo(source);
  try {
    const { test, other } = await readTexts(recipe);
    return { test: await scoreStudent(model, tokenizer, test, WINDOWS), other: await scoreStudent(model, tokenizer, other, WINDOWS) };
  } finally {
    model.dispose();
  }
}

/** Bits per byte of a teacher in the rows that students are scored in: the end token, then so many tokens of the text. */
async function scoreTeacher(model: SourceLM, tokenizer: SubwordTokenizer, text: Uint8Array): Promise<number> {
  const { vocabulary } = tokenizer;
  const { ids, bytes } = tokensInMemory(tokensOfText(text, tokenizer, 'the text'), vocabulary);
  const teacher = teacherOf(model);
  const { patches, batch } = WINDOWS;
  let nats = 0;
  for (let start = 0; start < ids.length; start += batch * (patches - 1)) {
    const windows = Array.from({ length: batch }, (_, b) => ids.subarray(start + b * (patches - 1), start + (b + 1) * (patches - 1))).filter((w) => w.length);
    const rows = byteRows(windows, { vocabulary, maxPatches: patches });
    const shape = { batch: rows.batch, length: patches, lengths: windows.map((w) => w.length + 1) };
    const sum = tf.tidy(() => {
      const { logits } = teacher.read(rows.teacherIds, shape, { logits: true });
      const each = tokenLogLikelihoods(logits!, tf.tensor2d(rows.teacherIds, [rows.batch, patches], 'int32'));
      return tf.sum(tf.mul(each, tf.tensor2d(Float32Array.from(rows.patchMask), [rows.batch, patches])));
    });
    nats -= (await sum.data())[0]!;
    sum.dispose();
    await breathe();
  }
  return nats / (Math.LN2 * bytes);
}
