export interface Utf8Run {
  start: number;
  end: number;
  /** `undefined`: one byte that is no part of any character. */
  text: string | undefined;
}

/** Cuts bytes into stretches of whole characters and single bytes that are not UTF-8. */
export function utf8Runs(bytes: Uint8Array): Utf8Run[] {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const runs: Utf8Run[] = [];
  let start = 0;
  const close = (end: number) => {
    if (end > start) runs.push({ start, end, text: decoder.decode(bytes.subarray(start, end)) });
  };
  for (let i = 0; i < bytes.length; ) {
    const n = characterLength(bytes, i);
    if (n) i += n;
    else {
      close(i);
      runs.push({ start: i, end: ++i, text: undefined });
      start = i;
    }
  }
  close(bytes.length);
  return runs;
}

/** Bytes of the character that begins at i; 0 when none does. */
function characterLength(bytes: Uint8Array, i: number): number {
  const lead = bytes[i]!;
  if (lead < 0x80) return 1;
  const n = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (!n || i + n > bytes.length) return 0;
  for (let k = 1; k < n; k++) if ((bytes[i + k]! & 0xc0) !== 0x80) return 0;
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  const second = bytes[i + 1]!;
  if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f) || (lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return 0;
  return n;
}
