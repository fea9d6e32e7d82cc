import { byteCells, summarize, type ChunkRow } from './chunk-row.js';

/** Between chunks of the outermost stage, of the next, and so on: the mark of the innermost stage that starts a chunk at the byte. */
const MARKS = ['│', '║', '┃'] as const;
/** Blue, yellow, green: readable on dark and light terminals. */
const COLORS = [34, 33, 32] as const;

/**
 * A row for a terminal: `│` where the outermost stage starts a chunk, `║` where the second does too, `┃` where the third does.
 * Control characters come out escaped, so a text cannot drive the terminal.
 * @param options.color Colour the marks, and underline every other chunk of the innermost stage. Give `stream.isTTY`.
 */
export function chunksAnsi(row: ChunkRow, options: { color?: boolean } = {}): string {
  const cells = byteCells(row);
  const paint = (text: string, code: number | string) => (options.color && text ? `\u001b[${code}m${text}\u001b[0m` : text);
  const innermost = row.stages.length;
  let line = '';
  let run = '';
  let shaded = false;
  const flush = () => {
    line += shaded ? paint(run, 4) : run;
    run = '';
  };
  cells.forEach((cell, i) => {
    if (cell.depth) {
      flush();
      if (innermost && cell.depth === innermost) shaded = !shaded;
      const stage = Math.min(cell.depth, MARKS.length) - 1;
      if (i > 0) line += paint(MARKS[stage]!, COLORS[stage]!);
    }
    // A character with a boundary inside is shown by its bytes: nothing else says where the cut is.
    const cut = cell.continues || cells[i + 1]?.continues ? characterIsCut(cells, i) : false;
    if (cut) run += `\\x${hex(cell.byte)}`;
    else if (!cell.continues) run += printable(cell.byte, cell.glyph);
    if (cell.byte === 0x0a) {
      flush();
      line += '\n';
    }
  });
  flush();
  return line;
}

/** `stage 1: 4.6 bytes per chunk (12 chunks)`, a line per stage. */
export function chunksSummary(row: ChunkRow): string[] {
  return summarize(row).map((s, i) => `stage ${i + 1}: ${s.bytesPerChunk.toFixed(2)} bytes per chunk (${s.chunks} chunks of ${row.bytes.length} bytes, longest ${s.longestBytes})`);
}

function characterIsCut(cells: ReturnType<typeof byteCells>, i: number): boolean {
  let from = i;
  while (cells[from]!.continues) from--;
  for (let k = from + 1; cells[k]?.continues; k++) if (cells[k]!.depth) return true;
  return false;
}

function printable(byte: number, glyph: string): string {
  if (byte === 0x20) return ' ';
  if (byte === 0xfe || byte === 0xff) return `<${glyph}>`;
  if (glyph === '×') return `\\x${hex(byte)}`;
  return glyph;
}

const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0');
