import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { TINY_MODEL } from './checkpoint.js';
import { spawnCli } from './testing/run.js';

/**
 * Runs the README's `console` blocks: a command behind `$ pnpm -s hnet`, below it exactly what it prints.
 * UPDATE_README=1 writes what is printed into the file in place of comparing.
 */
const README = fileURLToPath(new URL('../README.md', import.meta.url));
const COMMAND = /^\$ pnpm -s hnet (.*?)(?: \| head -(\d+))?$/;
const folder = mkdtempSync(join(tmpdir(), 'hnet-readme-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const blocks = [...readFileSync(README, 'utf8').matchAll(/```console\n(.*)\n([^]*?)```/g)].map(([block, command, output]) => ({ block: block!, command: command!, output: output! }));
const hasTiny = existsSync(join(TINY_MODEL, 'model.safetensors'));

/** Words of a command line with double quotes. */
const words = (line: string): string[] => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]!);

describe('the README prints what it says', () => {
  it('has commands to run', () => expect(blocks.length).toBeGreaterThanOrEqual(3));

  for (const { block, command, output } of blocks) {
    const [, args, head] = COMMAND.exec(command) ?? [];
    const name = words(args ?? '')[0];
    // Skipped only before it has been trained.
    const lacksTiny = !hasTiny && name !== 'inspect';
    it.skipIf(lacksTiny)(`${command}${lacksTiny ? ' (needs models/tiny)' : ''}`, async () => {
      expect(args, command).toBeDefined();
      const { code, stdout, stderr } = await spawnCli(words(args!), { cwd: folder });
      expect(code, stderr).toBe(0);
      const printed = head === undefined ? stdout : stdout.split('\n').slice(0, Number(head)).join('\n') + '\n';
      if (process.env.UPDATE_README) writeFileSync(README, readFileSync(README, 'utf8').replace(block, () => `\`\`\`console\n${command}\n${printed}\`\`\``));
      else expect(printed).toBe(output);
    });
  }
});
