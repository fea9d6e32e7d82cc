import { mkdirSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import { writeFileAtomic } from '@bytelm/core/io';
import { machine } from './machine.js';
import type { Recipe } from '../recipe.js';
import { claimsOf, type Claim } from './claims.js';
import { reportPage } from './page.js';
import { plotsOf, type Plot } from './plots.js';
import { readResults, type Results } from './results.js';
import { markdownTable, tablesOf } from './tables.js';

/** Writes `report.md`, `report.json`, `report.html` and the plots of what is done so far. @returns the claims. */
export async function writeReport(out: string, recipe: Recipe): Promise<Claim[]> {
  const results = readResults(out, recipe);
  const claims = claimsOf(results);
  const plots = await plotsOf(out, results);
  const folder = join(out, 'report');
  mkdirSync(folder, { recursive: true });
  for (const { file, svg } of plots) await writeFileAtomic(join(folder, file), svg);
  await writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify({ claims, ...results, machine: machine() }, withoutFolders, 1)}\n`);
  await writeFileAtomic(join(folder, 'report.md'), markdown(results, claims, plots));
  await writeFileAtomic(join(folder, 'report.html'), reportPage({ title: TITLE, lead: lead(results), claims, tables: tablesOf(results), plots }));
  return claims;
}

/** Folders of one machine say nothing elsewhere. */
const withoutFolders = (_key: string, value: unknown): unknown => (typeof value === 'string' && isAbsolute(value) ? basename(value) : value);

const TITLE = 'A subword model made to read and write bytes';

const lead = ({ recipe: { name, seed, backend, data } }: Results): string =>
  `Recipe ${name}, seed ${seed}, backend ${backend}; text: ${data.files.map((f) => basename(f)).join(', ')}, bytes ${data.range[0]} to ${data.range[1] ?? 'the end'}, test from ${data.testRange[0]}. ${machine()}.`;

export const claimLine = ({ claim, found, because }: Claim): string => `- **${found}**: ${claim} (${because}).`;

function markdown(results: Results, claims: readonly Claim[], plots: readonly Plot[]): string {
  return [
    `# ${TITLE}`,
    lead(results),
    '## Found and not found',
    claims.map(claimLine).join('\n'),
    ...tablesOf(results).map(markdownTable),
    ...plots.map(({ file, caption }) => `![${caption}](${file})\n\n${caption}`),
    'Made by `pnpm byteify-tiny`; `report.json` has every number.\n',
  ].join('\n\n');
}
