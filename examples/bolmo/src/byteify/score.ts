import type { HierarchicalLM } from '@bytelm/core';
import { evaluateByteified, teacherOf, tokensInMemory, type BoundaryScores, type SubwordTokenizer, type TokenStore } from '@bytelm/distill';
import { tokensOfText, type SourceLM } from '@bytelm/example-olmo';
import { createProgress } from '@bytelm/example-shared/cli';

/** How good a byteified model is, in bits per byte. */
export interface Score {
  /**
   * Where the tokenizer ends its tokens. `joint`: the bytes with their boundaries, which is the event that a token is for the teacher;
   * `folded`: the bytes, whether a patch ends or not.
   */
  trueBoundaries: Likelihoods;
  /** Where the model's own predictor ends patches. */
  predicted: Likelihoods;
  /** Of the predictor, against the tokenizer. */
  boundaries: BoundaryScores;
  bytesPerPatch: { tokenizer: number; predictor: number };
}

export interface Likelihoods {
  joint: number;
  folded: number;
}

export interface ScoreOptions {
  /** Tokens of a window, the begin symbol included; each is scored alone. Default 128. */
  patches?: number;
  /** Windows at once. Default 8. */
  batch?: number;
  signal?: AbortSignal | undefined;
}

export interface FullScore extends Score {
  /** Bytes that were scored. */
  bytes: number;
  /** Bits per byte of the teacher on the same windows. */
  teacher?: number;
}

/** Scores a student, and the teacher on the same windows if there is one. @throws DataError for text that does not survive the tokenizer. */
export async function scoreStudent(student: HierarchicalLM, tokenizer: SubwordTokenizer, text: Uint8Array | TokenStore, options: ScoreOptions & { teacher?: SourceLM } = {}): Promise<FullScore> {
  const { patches = 128, batch = 8, signal, teacher } = options;
  const { vocabulary } = tokenizer;
  const tokens = text instanceof Uint8Array ? tokensInMemory(tokensOfText(text, tokenizer, 'the text'), vocabulary) : text;
  const score = async (boundaries: 'true' | 'predicted') => {
    const progress = createProgress({ total: Math.ceil(tokens.size / (patches - 1)), unit: 'window' });
    const shared = { vocabulary, patches, batch, boundaries, signal, onProgress: (p: { rows: number; bitsPerByte: number }) => progress.update(p.rows, `${boundaries} boundaries: ${p.bitsPerByte.toFixed(4)} bits per byte`) };
    try {
      return await evaluateByteified(student, tokens, boundaries === 'true' && teacher ? { ...shared, teacher: teacherOf(teacher) } : shared);
    } finally {
      progress.stop();
    }
  };
  const [given, own] = [await score('true'), await score('predicted')];
  const likelihoods = ({ joint, folded }: typeof own): Likelihoods => ({ joint: joint.bitsPerByte, folded: folded.bitsPerByte });
  return {
    trueBoundaries: likelihoods(given),
    predicted: likelihoods(own),
    boundaries: own.boundary!,
    bytesPerPatch: { tokenizer: own.bytesPerToken, predictor: own.bytesPerPatch },
    bytes: own.bytes,
    ...(given.teacher && { teacher: given.teacher.bitsPerByte }),
  };
}

/** The numbers of a report that are a student's alone. */
export const scoreOf = ({ trueBoundaries, predicted, boundaries, bytesPerPatch }: FullScore): Score => ({ trueBoundaries, predicted, boundaries, bytesPerPatch });
