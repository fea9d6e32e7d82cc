/** One row to run, and which bytes of it count. */
export interface EvaluationWindow {
  document: number;
  inputs: Int32Array;
  /** Byte that the first input predicts. */
  first: number;
  /** Bytes [scoreFrom, end) are scored here. */
  scoreFrom: number;
  end: number;
}

/**
 * Cuts a document into rows so that every byte is scored exactly once: window k covers bytes [k·stride, k·stride + window), and scores
 * those that no window before it has. `stride === window` gives chunks.
 *
 * With a BOS every window starts with it. Without, a window starts with the byte before it, and the very first byte of the document,
 * which nothing precedes, is not scored.
 *
 * @param continued The rows are pieces of one sequence (a state is carried over): only the first gets the BOS.
 */
export function planWindows(bytes: Uint8Array, document: number, window: number, stride: number, bos: number | null, byteOffset: number, continued = false): EvaluationWindow[] {
  const windows: EvaluationWindow[] = [];
  let scored = bos === null ? 1 : 0;
  for (let start = 0; scored < bytes.length; start += stride) {
    const end = Math.min(start + window, bytes.length);
    const lead = start === 0 ? bos : continued || bos === null ? bytes[start - 1]! + byteOffset : bos;
    const first = lead === null ? 1 : start;
    if (end <= first) continue;
    const inputs = new Int32Array(end - first);
    let at = 0;
    if (lead !== null) inputs[at++] = lead;
    for (let t = start; at < inputs.length; t++) inputs[at++] = bytes[t]! + byteOffset;
    windows.push({ document, inputs, first, scoreFrom: scored, end });
    scored = end;
  }
  return windows;
}
