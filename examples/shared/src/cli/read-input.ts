import { readFileSync } from 'node:fs';
import { DataError } from '@bytelm/core';

/** A text for a model, with a name for messages. */
export interface InputText {
  name: string;
  bytes: Uint8Array;
}

/**
 * Texts of a command: those on the command line, the files, or what is piped in when there is neither.
 *
 * @param options.raw Take bytes that are not UTF-8 as they are.
 * @throws DataError for a file that cannot be read, and for bytes that are not UTF-8.
 */
export async function readInputs(texts: readonly string[], files: readonly string[] = [], options: { raw?: boolean } = {}): Promise<InputText[]> {
  const inputs: InputText[] = texts.map((text, i) => ({ name: texts.length > 1 ? `text ${i + 1}` : 'text', bytes: new TextEncoder().encode(text) }));
  for (const file of files) inputs.push({ name: file, bytes: readFile(file) });
  if (!inputs.length && !process.stdin.isTTY) inputs.push({ name: 'standard input', bytes: await readStdin() });
  if (!options.raw) inputs.forEach(checkUtf8);
  return inputs;
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (e) {
    throw new DataError(`[input] ${path}: it cannot be read (${(e as Error).message}). Hint: check the path.`, { cause: e });
  }
}

async function readStdin(): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function checkUtf8({ name, bytes }: InputText): void {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    decoder.decode(bytes);
  } catch {
    const at = firstInvalid(bytes);
    const byte = bytes[at]!.toString(16).toUpperCase().padStart(2, '0');
    throw new DataError(`[input] ${name}: byte 0x${byte} at ${at} is not UTF-8. Hint: convert the text, or add --raw to read its bytes as they are (FE and FF then mean begin and end of text).`);
  }
}

/** Start of the first sequence that is not UTF-8: behind the longest valid beginning, which halving finds. */
function firstInvalid(bytes: Uint8Array): number {
  const valid = (n: number, options?: TextDecodeOptions) => {
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, n), options);
      return true;
    } catch {
      return false;
    }
  };
  let low = 0;
  for (let high = bytes.length; low < high; ) {
    const middle = (low + high + 1) >> 1;
    // `stream`: a character that the cut goes through is no mistake yet.
    if (valid(middle, { stream: true })) low = middle;
    else high = middle - 1;
  }
  while (!valid(low)) low--;
  return low;
}
