import { byteCells, summarize, type ByteCell, type ByteCurve, type ChunkRow } from './chunk-row.js';

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => ENTITIES[c]!);

/** The text of a row as running text: a box per chunk of the outermost stage, underlined together where an inner stage groups them. */
export function readingLine(row: ChunkRow): string {
  const cells = byteCells(row);
  return `<p class="reading" aria-hidden="true">${nested(cells, 0, cells.length, row.stages.length)}</p>`;
}

/** Cells from..to, cut where at least `stage` stages start a chunk, each piece cut by the stages outside it. */
function nested(cells: readonly ByteCell[], from: number, to: number, stage: number): string {
  if (stage < 1) return cells.slice(from, to).map(readable).join('');
  const parts: string[] = [];
  for (let i = from; i < to; ) {
    let end = i + 1;
    while (end < to && cells[end]!.depth < stage) end++;
    parts.push(`<span class="${stage > 1 ? 'group' : 'chunk'} g${Math.min(stage, 3)}">${nested(cells, i, end, stage - 1)}</span>`);
    i = end;
  }
  return parts.join('<wbr>');
}

function readable(cell: ByteCell): string {
  if (cell.continues) return cell.depth ? '<span class="odd">·</span>' : '';
  if (cell.byte === 0x20) return '<span class="blank"> </span>';
  if (cell.byte < 0x20 || cell.byte === 0x7f || cell.byte >= 0xf5 || cell.glyph === '×') {
    return `<span class="odd">${escapeHtml(cell.glyph === '×' ? hex(cell.byte) : cell.glyph)}</span>${cell.byte === 0x0a ? '<br>' : ''}`;
  }
  return escapeHtml(cell.glyph);
}

/** One column a byte: hex digits, character, and a cell per stage, filled where the stage starts a chunk. */
export function byteGrid(row: ChunkRow, index: number): string {
  const top = row.curve ? highest(row.curve) : 0;
  const columns = byteCells(row).map((cell, i) => {
    const stages = row.stages.map((_, s) => stageCell(cell.stages[s], s)).join('') + (row.curve ? curveCell(row.curve, i, top) : '');
    const odd = cell.continues || cell.glyph.length > 1 || cell.glyph === '×';
    return (
      `<li class="byte${cell.depth ? ` start d${Math.min(cell.depth, 3)}` : ''}" tabindex="${i ? -1 : 0}" aria-label="${escapeHtml(spoken(cell, i, row.curve))}">` +
      `<span class="hex">${hex(cell.byte)}</span><span class="glyph${odd ? ' odd' : ''}">${escapeHtml(cell.glyph)}</span>${stages}</li>`
    );
  });
  return `<ol class="bytes" id="row-${index}" aria-label="Bytes of row ${index + 1}. Arrow keys move by byte, page keys by chunk.">${columns.join('')}</ol>`;
}

function stageCell(at: ByteCell['stages'][number], stage: number): string {
  const name = `stage s${Math.min(stage, 2) + 1}`;
  if (!at) return `<span class="${name} unseen"></span>`;
  const share = Math.round(100 * Math.min(1, Math.max(0, at.p)));
  return `<span class="${name}${at.boundary ? ' on' : ''}" style="--p:${share}%"></span>`;
}

/** A bar as high as the value, red where it is above the threshold, which is the line across. */
function curveCell({ values, threshold }: ByteCurve, i: number, top: number): string {
  const value = values[i]!;
  const share = (v: number) => `${Math.round((100 * Math.max(0, v)) / top)}%`;
  const line = threshold === undefined ? '' : `<i style="bottom:${share(threshold)}"></i>`;
  if (!Number.isFinite(value)) return `<span class="curve">${line}</span>`;
  const above = threshold !== undefined && value > threshold;
  return `<span class="curve${above ? ' above' : ''}"><b style="height:${share(value)}"></b>${line}</span>`;
}

const highest = ({ values, threshold = 0 }: ByteCurve): number => Array.from(values).reduce((most, v) => (v > most ? v : most), Math.max(threshold, 1e-6)) * 1.05;

function spoken(cell: ByteCell, i: number, curve?: ByteCurve): string {
  const name = cell.glyph === '_' ? 'blank' : cell.continues ? 'rest of the character' : cell.glyph;
  const stages = cell.stages.map((at, s) => (at ? `stage ${s + 1}: ${at.boundary ? 'chunk starts' : 'no boundary'}, p ${at.p.toFixed(3)}` : `stage ${s + 1}: not asked`));
  const value = curve && Number.isFinite(curve.values[i]!) ? [`${curve.name} ${curve.values[i]!.toFixed(3)} ${curve.unit}`] : [];
  return [`byte ${i}: ${name}, hex ${hex(cell.byte)}`, ...stages, ...value].join('; ');
}

/** The counts of a row's stages. */
export function summaryTable(row: ChunkRow): string {
  const lines = summarize(row).map(
    (s, i) =>
      `<tr><th scope="row"><span class="key s${Math.min(i, 2) + 1}"></span>stage ${i + 1}</th><td>${s.bytesPerChunk.toFixed(2)}</td><td>${s.chunks}</td><td>${s.positions}</td><td>${s.longestBytes}</td></tr>`,
  );
  return (
    '<div class="scroll"><table><thead><tr><th scope="col">stage</th><th scope="col">bytes per chunk</th><th scope="col">chunks</th>' +
    `<th scope="col">positions seen</th><th scope="col">longest, bytes</th></tr></thead><tbody>${lines.join('')}</tbody></table></div>`
  );
}

export const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0');
