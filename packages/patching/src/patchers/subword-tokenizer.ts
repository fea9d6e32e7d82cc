import type { Tokenizer } from '@huggingface/tokenizers';
import { ConfigError, DataError } from '@bytelm/core';

/** Cuts text into pieces and says how many bytes each one has. */
export interface SubwordTokenizer {
  /** Bytes of each piece of a text; they sum to its UTF-8 length. @throws DataError when the pieces do not give the text back. */
  pieceLengths(text: string): number[];
  /** Does no piece reach from a printable ASCII character over a space behind it? Texts can then be cut there without changing their pieces. */
  readonly bordersAtSpaces: boolean;
  /** Differs between tokenizers. */
  readonly fingerprint: string;
}

/**
 * Any `tokenizer.json` of Hugging Face whose pieces spell the text (byte-level BPE, SentencePiece BPE with bytes for what it does not know), by way
 * of the optional peer `@huggingface/tokenizers`.
 *
 * @param source path of the file or of its folder (Node), or its parsed content. @param config parsed `tokenizer_config.json`; read from the
 * folder when there is one.
 * @throws ConfigError when the peer is not installed or the file is no tokenizer.
 */
export async function openSubwordTokenizer(source: string | object, config?: object): Promise<SubwordTokenizer> {
  const read = typeof source === 'string' ? await readFiles(source) : { json: source, config: undefined };
  const json = read.json as { model?: { type?: string; vocab?: unknown } };
  if (!json.model?.vocab) throw new ConfigError(`[openSubwordTokenizer] ${nameOf(source)}: expected a tokenizer.json with \`model.vocab\`, got keys ${Object.keys(json).slice(0, 6).join(', ')}.`);
  const { Tokenizer } = await loadPeer();
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(json, config ?? read.config ?? {});
  } catch (e) {
    throw new ConfigError(`[openSubwordTokenizer] ${nameOf(source)}: ${(e as Error).message} Hint: is it a tokenizer.json of Hugging Face?`);
  }
  return new PieceTokenizer(tokenizer, mentions(json, 'ByteLevel'), fnv(JSON.stringify(json)));
}

class PieceTokenizer implements SubwordTokenizer {
  readonly bordersAtSpaces: boolean;
  private readonly added: ReadonlyMap<number, { content: string }>;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly byteLevel: boolean,
    readonly fingerprint: string,
  ) {
    this.added = tokenizer.get_added_tokens_decoder();
    this.bordersAtSpaces = byteLevel && ![...tokenizer.get_vocab(true).keys()].some((token) => /[!-~][ \u0120]/.test(token));
  }

  pieceLengths(text: string): number[] {
    const { ids, tokens } = this.tokenizer.encode(text, { add_special_tokens: false });
    const pieces = tokens.map((token, i) => this.bytesOf(token, ids[i]!));
    const expected = new TextEncoder().encode(text);
    let total = pieces.reduce((n, p) => n + p.length, 0);
    // Many tokenizers put a space in front of the text.
    if (total === expected.length + 1 && pieces[0]?.[0] === 0x20) {
      pieces[0] = pieces[0].subarray(1);
      total--;
    }
    let at = 0;
    for (const piece of pieces) {
      for (const byte of piece) {
        if (byte !== expected[at]) throw differs(expected, at, byte);
        at++;
      }
    }
    if (at !== expected.length) throw differs(expected, at);
    return pieces.map((p) => p.length).filter((n) => n > 0);
  }

  private bytesOf(token: string, id: number): Uint8Array {
    const added = this.added.get(id);
    if (added) return new TextEncoder().encode(added.content);
    if (this.byteLevel) return Uint8Array.from(token, (c) => BYTE_OF.get(c) ?? 0);
    const single = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (single) return Uint8Array.of(Number.parseInt(single[1]!, 16));
    return new TextEncoder().encode(token.replaceAll('\u2581', ' '));
  }
}

function differs(expected: Uint8Array, at: number, byte?: number): DataError {
  const hex = (b: number | undefined) => (b === undefined ? 'the end' : `0x${b.toString(16).padStart(2, '0')}`);
  return new DataError(
    `[BpePatcher] the tokenizer's pieces differ from the text at byte ${at}: expected ${hex(expected[at])}, got ${hex(byte)}. ` +
      'Hint: tokenizers that change the text (lower case, NFKC) or do not know a character cannot say where its bytes are cut.',
  );
}

/** Byte-level tokenizers write bytes as printable characters: these stand for themselves, the rest count up from U+0100. */
const BYTE_OF: ReadonlyMap<string, number> = (() => {
  const of = new Map<string, number>();
  for (let byte = 0, next = 0x100; byte < 256; byte++) {
    const itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    of.set(String.fromCodePoint(itself ? byte : next++), byte);
  }
  return of;
})();

/** Does a part of this type stand anywhere in the tokenizer's pre-tokenizer or decoder? */
function mentions(json: object, type: string): boolean {
  const { pre_tokenizer, decoder } = json as { pre_tokenizer?: unknown; decoder?: unknown };
  const inside = (node: unknown): boolean => typeof node === 'object' && node !== null && ((node as { type?: string }).type === type || Object.values(node).some(inside));
  return inside(pre_tokenizer) || inside(decoder);
}

function fnv(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

const nameOf = (source: string | object): string => (typeof source === 'string' ? source : 'the given object');

async function readFiles(path: string): Promise<{ json: object; config: object | undefined }> {
  const { readFile, stat } = await import('node:fs/promises');
  const { dirname, join } = await import('node:path');
  try {
    const isFolder = (await stat(path)).isDirectory();
    const json = JSON.parse(await readFile(isFolder ? join(path, 'tokenizer.json') : path, 'utf8')) as object;
    const config = await readFile(join(isFolder ? path : dirname(path), 'tokenizer_config.json'), 'utf8').catch(() => undefined);
    return { json, config: config === undefined ? undefined : (JSON.parse(config) as object) };
  } catch (e) {
    throw new ConfigError(`[openSubwordTokenizer] ${path}: ${(e as Error).message}. Hint: give a tokenizer.json or its folder.`);
  }
}

async function loadPeer(): Promise<typeof import('@huggingface/tokenizers')> {
  try {
    return await import('@huggingface/tokenizers');
  } catch (e) {
    throw new ConfigError(`[openSubwordTokenizer] the package @huggingface/tokenizers cannot be loaded (${(e as Error).message}). Hint: npm install @huggingface/tokenizers.`);
  }
}
