import type { Command } from 'commander';
import type { HierarchicalLM } from '@bytelm/core';
import { createProgress, withSharedOptions } from '@bytelm/example-shared/cli';
import { startModel, withModelOptions } from '@bytelm/example-shared/model';
import { BLT, type BLTModelOptions } from '../family.js';
import { knownAnswer } from '../known-answer.js';

interface KnownAnswerOptions extends BLTModelOptions {
  json?: boolean;
}

const EXAMPLES = `
Examples:
  blt known-answer --model path/to/blt-1b-hf --hash-tables file
  blt known-answer --model itazap/blt-1b-hf

The published values are those of the 1B model; any other model fails. 9 GB of memory hold its tables in bf16; with --hash-tables file they stay on the disk.`;

/** `blt known-answer` */
export function addKnownAnswerCommand(program: Command): void {
  const command = program.command('known-answer').description('compare the published 1B model with what its authors state: logits, and a greedy text').addHelpText('after', EXAMPLES);
  withModelOptions(command, BLT).option('--json', 'print the result as JSON');
  withSharedOptions(command, 'auto').action(run);
}

async function run(options: KnownAnswerOptions): Promise<void> {
  const { model } = await startModel(BLT, { ...options, model: options.model ?? 'blt-1b' });
  let progress: ReturnType<typeof createProgress> | undefined;
  try {
    const report = await knownAnswer(model as HierarchicalLM, {
      onByte: (done, total) => {
        progress ??= createProgress({ total, unit: 'byte' });
        progress.update(done, 'greedy text');
      },
    });
    progress?.stop();
    const { logits, text } = report;
    const says = (ok: boolean) => (ok ? 'agrees' : 'DIFFERS');
    process.stdout.write(
      options.json
        ? `${JSON.stringify(report, null, 1)}\n`
        : `logits: ${says(logits.ok)}, largest difference ${logits.difference.toFixed(4)} (bfloat16 allows ${logits.bound})\n` +
            `text: ${says(text.ok)}, ${text.sameBytes} of ${text.expected.length} bytes\n  expected: ${text.prompt}${text.expected}\n  got:      ${text.prompt}${text.got}\n`,
    );
    if (!report.ok) process.exitCode = 1;
  } finally {
    progress?.stop();
    model.dispose();
  }
}
