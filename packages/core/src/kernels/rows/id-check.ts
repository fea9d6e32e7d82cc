import { DataError } from '../../errors.js';

/** Throws for an id that the table of `embedding` does not have. */
export function idOutOfRange(id: number, position: number, rows: number): never {
  throw new DataError(
    `[embedding] expected ids from 0 to ${rows - 1}, got ${id} at position ${position}. Hint: the table has ${rows} rows; check the tokenizer and the vocabulary size.`,
  );
}
