/**
 * Byte-level BPE writes its vocabulary in 256 printable characters, one for each byte: printable Latin-1 stands for itself, the other 68
 * bytes for U+0100, U+0101, … in order (a space is `Ġ`, a newline `Ċ`).
 * @source GPT-2's tokenizer; every `tokenizer.json` with a ByteLevel decoder.
 */
const isPrintable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;

/** Byte of each character of the alphabet. */
export const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>();
  for (let byte = 0, extra = 0; byte < 256; byte++) map.set(String.fromCodePoint(isPrintable(byte) ? byte : 256 + extra++), byte);
  return map;
})();

/** The bytes that a vocabulary entry spells, or `undefined` when a character is none of the alphabet's. */
export function bytesOfCharacters(text: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const character of text) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
