/** Spelling tasks in the manner of CUTE: lines to practise on, and questions for any model that generates text. */
export { answerOf, levenshtein, TASKS, type Task } from './answers.js';
export { CUTE_SAMPLE, cuteWords, readCute, readPrompts, type CuteRow, type Prompts } from './cute.js';
export { spellingLines, withLines, WORD_LIST_TASKS, wordsOf, type SpellingLinesOptions, type WordListTask, type WordsOptions } from './lines.js';
export { byteCodec, evaluateSpelling, promptOf, tokenCodec, type EvaluateSpellingOptions, type PromptOptions, type SpellingReport, type TextCodec } from './evaluate.js';
export { answerBits, type AnswerBitsOptions, type Scorable } from './answer-bits.js';
