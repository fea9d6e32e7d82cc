/** Bytes in, text out, never half a character: an incomplete character waits for its remaining bytes, a broken one becomes U+FFFD. */
export class Utf8StreamDecoder {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  push(bytes: number | Uint8Array): string {
    return this.decoder.decode(typeof bytes === 'number' ? Uint8Array.of(bytes) : bytes, { stream: true });
  }

  /** What is left at the end: U+FFFD for an incomplete character. */
  flush(): string {
    return this.decoder.decode();
  }
}
