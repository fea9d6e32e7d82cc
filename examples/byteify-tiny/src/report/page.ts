import { escapeHtml, PAGE_STYLE } from '@bytelm/example-shared/page';
import type { Claim } from './claims.js';
import type { Plot } from './plots.js';
import type { Table } from './tables.js';

export interface ReportPage {
  title: string;
  lead: string;
  claims: readonly Claim[];
  tables: readonly Table[];
  plots: readonly Plot[];
}

const MARKS: Record<Claim['found'], string> = { found: '✓', 'not found': '✗', 'not decided': '?' };

/** The report as one page that needs nothing else. */
export const reportPage = ({ title, lead, claims, tables, plots }: ReportPage): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${PAGE_STYLE}
.claims { list-style: none; margin: 0; padding: 0; } .claims li { margin: 0 0 .6rem; padding-left: 1.8rem; text-indent: -1.8rem; }
.claims b { display: inline-block; width: 1.8rem; text-indent: 0; } .claims small { color: var(--soft); }</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${escapeHtml(lead)}</p>
${claims.length ? `<section><h2>Found and not found</h2><ul class="claims">${claims.map(claimItem).join('')}</ul></section>` : ''}
${plots.map(({ svg, caption }) => `<section><figure>${svg}<figcaption>${escapeHtml(caption)}</figcaption></figure></section>`).join('\n')}
${tables.map(tableSection).join('\n')}
<footer>Made by bytelm.</footer>
</main>
</body>
</html>
`;

const claimItem = ({ claim, found, because }: Claim): string =>
  `<li><b aria-hidden="true">${MARKS[found]}</b><strong>${found}</strong>: ${escapeHtml(claim)}<br><small>${escapeHtml(because)}</small></li>`;

function tableSection({ title, note, head, rows }: Table): string {
  const body = rows.map(([name, ...cells]) => `<tr><th scope="row">${escapeHtml(name!)}</th>${cells.map((c) => `<td>${escapeHtml(c)}</td>`).join('')}</tr>`).join('');
  return (
    `<section><h2>${escapeHtml(title)}</h2><div class="scroll"><table><thead><tr>${head.map((h) => `<th scope="col">${escapeHtml(h)}</th>`).join('')}</tr></thead>` +
    `<tbody>${body}</tbody></table></div>${note ? `<p class="lead">${escapeHtml(note)}</p>` : ''}</section>`
  );
}
