import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { fixtureRoot } from '@bytelm/core/testing';
import { runCli } from '../src/run-cli.js';

/** What a command prints on standard output. */
async function printed(...args: string[]): Promise<string> {
  let text = '';
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((piece) => Boolean((text += String(piece))));
  const silent = vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  const code = await runCli(args).finally(() => [out, silent].forEach((spy) => spy.mockRestore()));
  expect(code, args.join(' ')).toBe(0);
  return text;
}

const MODEL = join(fixtureRoot(), 'bolmo', 'bolmo_tiny_olmo2');

describe('pnpm bolmo', () => {
  it('inspect compares the file with the configuration', async () => {
    const report = JSON.parse(await printed('inspect', MODEL, '--json')) as { checkpoint: Record<string, unknown[]>; parameters: number };
    expect([report.checkpoint.missing, report.checkpoint.unexpected, report.checkpoint.wrongShape]).toEqual([[], [], []]);
    expect(report.checkpoint.values).toBe(report.parameters);
  });

  it('generate gives the golden bytes, chunks the golden boundaries', async () => {
    const { rows } = JSON.parse(await printed('generate', '--model', MODEL, '--prompt', 'Hello World! the w', '--max-bytes', '6', '--temperature', '0', '--json')) as { rows: { bytes: number[] }[] };
    expect(rows[0]!.bytes).toEqual([58, 124, 213, 135, 208, 127]);
    const [row] = JSON.parse(await printed('chunks', '--model', MODEL, '--no-html', '--json', 'Hello World! the w')) as { stages: { b: number[] }[] }[];
    // Patches end behind bytes 0, 6, 9 and 10: the next ones start at 1, 7, 10 and 11.
    expect(row!.stages[0]!.b.flatMap((b, i) => (b ? [i] : []))).toEqual([0, 1, 7, 10, 11]);
  });
});
