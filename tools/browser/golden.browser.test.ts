import { fixtureRoot, useBackend } from '@bytelm/core/testing';
import { beforeAll, describe, it } from 'vitest';
import { findCases, type FixtureCase } from '../fixtures/cases.js';
import { adapterFor } from '../fixtures/ops/index.js';
import { caseLines } from '../fixtures/report.js';
import { shareOf } from '../fixtures/share.js';
import { runCase } from '../fixtures/worker.js';

const known = findCases(fixtureRoot()).filter((c) => adapterFor(c));
const inPage = known.filter((c) => !adapterFor(c)!.onlyInNode);
const chosen = process.env.BYTELM_BROWSER === 'all' ? inPage : shareOf(inPage);

describe('golden cases on the WebGPU of a browser', () => {
  beforeAll(() => useBackend('webgpu'));

  it.each(chosen.map((c): [string, FixtureCase] => [c.id, c]))('%s', async (_, c) => {
    const result = await runCase(c, 'webgpu');
    if (!result.ok) throw new Error(caseLines(result).join('\n'));
  });

  it.skip.each(known.filter((c) => !inPage.includes(c)).map((c) => c.id))('%s: only in Node, its files are opened as a folder', () => {});
});
