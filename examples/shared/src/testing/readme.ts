import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { CliTester } from './run.js';
import { temporaryFolder } from './run.js';

export interface ReadmeOptions {
  /** The README's path. */
  path: string;
  /** What a command line starts with behind `$ pnpm -s`, e.g. `hnet`. */
  program: string;
  spawnCli: CliTester['spawnCli'];
  /** Why a command cannot run here yet; its test is then skipped. */
  lacks?: (words: readonly string[]) => string | undefined;
  /** How many commands there must be. */
  atLeast: number;
}

/** Words of a command line with double quotes. */
const words = (line: string): string[] => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]!);

/**
 * Runs a README's `console` blocks: a command behind `$ pnpm -s program`, below it exactly what it prints.
 * UPDATE_README=1 writes what is printed into the file in place of comparing.
 */
export function checkReadme({ path, program, spawnCli, lacks, atLeast }: ReadmeOptions): void {
  const folder = temporaryFolder();
  const pattern = new RegExp(`^\\$ pnpm -s ${program} (.*?)(?: \\| head -(\\d+))?$`);
  const blocks = [...readFileSync(path, 'utf8').matchAll(/```console\n(.*)\n([^]*?)```/g)].map(([block, command, output]) => ({ block: block!, command: command!, output: output! }));

  describe('the README prints what it says', () => {
    it('has commands to run', () => expect(blocks.length).toBeGreaterThanOrEqual(atLeast));

    for (const { block, command, output } of blocks) {
      const [, args, head] = pattern.exec(command) ?? [];
      const missing = lacks?.(words(args ?? ''));
      it.skipIf(missing !== undefined)(`${command}${missing === undefined ? '' : ` (needs ${missing})`}`, async () => {
        expect(args, command).toBeDefined();
        const { code, stdout, stderr } = await spawnCli(words(args!), { cwd: folder });
        expect(code, stderr).toBe(0);
        const printed = head === undefined ? stdout : stdout.split('\n').slice(0, Number(head)).join('\n') + '\n';
        if (process.env.UPDATE_README) writeFileSync(path, readFileSync(path, 'utf8').replace(block, () => `\`\`\`console\n${command}\n${printed}\`\`\``));
        else expect(printed).toBe(output);
      });
    }
  });
}
