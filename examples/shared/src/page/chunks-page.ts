import { chunksJson, summarize, type ByteCurve, type ChunkRow } from './chunk-row.js';
import { byteGrid, escapeHtml, readingLine, summaryTable } from './markup.js';
import { PAGE_SCRIPT, PAGE_STYLE } from './page-style.js';

export interface ChunksPageOptions {
  title: string;
  /** A sentence below the title. */
  lead?: string;
  rows: readonly ChunkRow[];
  /** Short facts in boxes, e.g. `['model', 'tiny (1.5 M parameters)']`. */
  facts?: readonly (readonly [name: string, value: string])[];
  /** A sentence at the end that says when a chunk starts. */
  note?: string;
  /** Texts shown as they are, e.g. what a model wrote before and after training. */
  texts?: readonly { title: string; text: string }[];
  /** Pictures made by this program, e.g. by `lossCurveSvg`; the SVG is not escaped. */
  figures?: readonly { caption: string; svg: string }[];
}

/**
 * A self-contained HTML page that shows where each stage cuts: a cell per byte (hex above, character below), below it a cell per stage,
 * filled where the stage starts a chunk and else as high as its probability. Stage s+1 is drawn at the bytes that stage s selected.
 * The rows are embedded as JSON, too (`<script type="application/json" id="chunks">`).
 * @throws DataError when a row's stages do not fit its bytes.
 */
export function chunksPage(options: ChunksPageOptions): string {
  const { title, lead, rows, facts = [], texts = [], figures = [], note } = options;
  const stages = Math.max(0, ...rows.map((r) => r.stages.length));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${lead ? `<p class="lead">${escapeHtml(lead)}</p>` : ''}
${factList([...facts, ...meanBytesPerChunk(rows)])}
${rows.length ? legend(stages, rows.find((r) => r.curve)?.curve) : ''}
${rows.map(rowSection).join('\n')}
${texts.map(({ title: t, text }) => `<section><h2>${escapeHtml(t)}</h2><pre>${escapeHtml(text)}</pre></section>`).join('\n')}
${figures.map(({ caption, svg }) => `<section><figure>${svg}<figcaption>${escapeHtml(caption)}</figcaption></figure></section>`).join('\n')}
<footer>Made by bytelm. ${escapeHtml(note ?? 'A stage starts a chunk where its boundary probability p is above 0.5.')}</footer>
</main>
<script type="application/json" id="chunks">${jsonForScript(rows.map(chunksJson))}</script>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function rowSection(row: ChunkRow, i: number): string {
  return `<section aria-labelledby="label-${i}">
<h2 id="label-${i}">${escapeHtml(row.label ?? `Text ${i + 1}`)}</h2>
${readingLine(row)}
${summaryTable(row)}
<details open><summary>every byte</summary>
${byteGrid(row, i)}
<p class="detail" aria-hidden="true">Point at a byte, or tab to the bytes and use the arrow keys (page keys: next chunk).</p>
</details>
</section>`;
}

function factList(facts: readonly (readonly [string, string])[]): string {
  if (!facts.length) return '';
  return `<dl class="facts">${facts.map(([k, v]) => `<div><dt>${escapeHtml(k)}</dt><dd>${escapeHtml(v)}</dd></div>`).join('')}</dl>`;
}

/** Over all rows: bytes by chunks, of each stage. */
function meanBytesPerChunk(rows: readonly ChunkRow[]): [string, string][] {
  const stages = Math.max(0, ...rows.map((r) => r.stages.length));
  const summaries = rows.map((r) => ({ bytes: r.bytes.length, stages: summarize(r) }));
  return Array.from({ length: stages }, (_, s) => {
    const of = summaries.filter((r) => r.stages[s]);
    const chunks = of.reduce((n, r) => n + r.stages[s]!.chunks, 0);
    const bytes = of.reduce((n, r) => n + r.bytes, 0);
    return [`stage ${s + 1}: bytes per chunk`, chunks ? (bytes / chunks).toFixed(2) : '–'];
  });
}

function legend(stages: number, curve: ByteCurve | undefined): string {
  const items = Array.from({ length: stages }, (_, s) => `<li><span class="key s${Math.min(s, 2) + 1}"></span>stage ${s + 1} starts a chunk</li>`);
  if (curve) items.push(`<li><span class="key s2"></span>${escapeHtml(curve.name)} of the byte${curve.threshold === undefined ? '' : `; dashed: threshold ${curve.threshold.toFixed(3)} ${escapeHtml(curve.unit)}`}</li>`);
  items.push('<li><span class="key half"></span>no boundary; height = probability</li>', '<li>_ blank</li>', '<li>· rest of a character</li>', '<li>× no printable character</li>');
  return `<ul class="legend">${items.join('')}</ul>`;
}

/** `</script>` and `<!--` inside JSON would end or change the script element. */
const jsonForScript = (value: unknown): string => JSON.stringify(value).replace(/</g, '\\u003c');
