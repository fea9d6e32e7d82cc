/** CUTE's tasks, arXiv 2409.15452. */
export const TASKS = ['spell', 'spell_inverse', 'contains_char', 'contains_word', 'orth', 'sem', 'ins_char', 'ins_word', 'del_char', 'del_word', 'sub_char', 'sub_word', 'swap_char', 'swap_word'] as const;
export type Task = (typeof TASKS)[number];

const yesNo = (is: boolean): string => (is ? 'Yes' : 'No');
const WORD = /[\p{L}\p{N}'’-]+/gu;
const exchange = (pair: readonly [string, string], piece: string): string => (piece === pair[0] ? pair[1] : piece === pair[1] ? pair[0] : piece);

/** How each task's answer follows from what fills the prompt; `sem` is about meaning and follows from nothing. */
const ANSWERS: Record<Exclude<Task, 'sem'>, (...inputs: string[]) => string> = {
  spell: (word) => [...word!].join(' '),
  spell_inverse: (letters) => letters!.replaceAll(' ', ''),
  contains_char: (letter, word) => yesNo(word!.includes(letter!)),
  contains_word: (word, sentence) => yesNo(wordsIn(sentence!.toLowerCase()).includes(word!.toLowerCase())),
  orth: (word, a, b) => (levenshtein(word!, a!) <= levenshtein(word!, b!) ? a! : b!),
  ins_char: (letter, after, word) => word!.replaceAll(after!, after! + letter!),
  ins_word: (word, after, sentence) => sentence!.replace(WORD, (w) => (w === after ? `${w} ${word}` : w)),
  del_char: (letter, word) => word!.replaceAll(letter!, ''),
  del_word: (word, sentence) => withoutWord(sentence!, word!),
  sub_char: (letter, by, word) => word!.replaceAll(letter!, by!),
  sub_word: (word, by, sentence) => sentence!.replace(WORD, (w) => (w === word ? by! : w)),
  swap_char: (a, b, word) => [...word!].map((c) => exchange([a!, b!], c)).join(''),
  swap_word: (a, b, sentence) => sentence!.replace(WORD, (w) => exchange([a!, b!], w)),
};

/** The right answer, as CUTE's labels have it (but for 35 of 9,800 rows, most with sentences whose characters were damaged there); `undefined` for `sem`. */
export const answerOf = (task: Task, inputs: readonly string[]): string | undefined => (task === 'sem' ? undefined : ANSWERS[task](...inputs));

export const wordsIn = (text: string): string[] => text.match(WORD) ?? [];

/** Stands where a word was taken out; of a private area, no text has it. */
const GONE = '\uE000';

/** A word goes with the blank before it; at the beginning with the one behind. */
function withoutWord(sentence: string, word: string): string {
  const out = sentence.replace(WORD, (w) => (w === word ? GONE : w));
  return out.replace(/^(\uE000 ?)+/, '').replace(/ ?\uE000/g, '');
}

/** Fewest insertions, deletions and substitutions from one word to the other. */
export function levenshtein(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
