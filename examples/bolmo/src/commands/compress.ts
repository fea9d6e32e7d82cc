import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { real, whole } from '@bytelm/example-shared/cli';
import { compressText, MERGE_RULES, runCompress, type CompressSettings } from '../byteify/compress.js';
import { RESUME_NOTE, stoppedText, withStageOptions, type SteeringOptions } from './stage-options.js';

const EXAMPLES = `
Examples:
  bolmo compress --model runs/bolmo --data books.txt --target 5 --bytes 2_000_000 --out runs/bolmo-5
  bolmo compress --model runs/bolmo --data books.txt --target 5 --merge entropy --auxiliary runs/teacher --out runs/bolmo-5e
  bolmo compress --resume --out runs/bolmo-5

Boundary labels are thinned out by joining neighbouring patches until --target bytes per patch at the end of the run. Which first: bpe, the pair that is most frequent in its row; entropy
and cross-entropy, what the auxiliary model finds easiest to tell. The model itself gets less long patches than the labels: they are traded off against its likelihoods.`;

type Options = Partial<CompressSettings> & SteeringOptions;

/** `bolmo compress` */
export function addCompressCommand(program: Command): void {
  const command = program.command('compress').description('train a byteified model towards longer patches').addHelpText('after', `${EXAMPLES}${RESUME_NOTE}`);
  command
    .option('--model <name>', 'the byteified model: a folder or a Hugging Face id')
    .option('--target <number>', 'bytes per patch of the labels at the end', real(1))
    .option('--start <number>', "at the beginning (default: the tokenizer's bytes per token)", real(1))
    .addOption(new Option('--merge <rule>', 'which neighbours become one patch first (default: bpe)').choices([...MERGE_RULES]))
    .option('--auxiliary <model>', 'a subword model with the same tokenizer, for entropy and cross-entropy; the teacher will do')
    .option('--bytes <number>', 'bytes to train on (default: 500 steps)', whole())
    .option('--steps <number>', 'the same in updates', whole())
    .option('--lr <rate>', "highest rate (default: stage 2's)", real(0))
    .option('--global-lr <rate>', 'of the main network (default: half of it)', real(0));
  withStageOptions(command).action(run);
}

async function run({ out, resume, stopAt, json, ...given }: Options): Promise<void> {
  const { model, data, target } = given;
  if (!resume && (!model || !data || target === undefined)) throw new ConfigError('[compress] expected --model, --data and --target. Hint: --resume --out FOLDER goes on with a run.');
  const report = await runCompress(resume ? { out } : { ...given, model: model!, data: data!, target: target!, out }, { resume, stopAt, json });
  if (!report) {
    process.stderr.write(stoppedText('compress', out));
    return;
  }
  process.stdout.write(json ? `${JSON.stringify({ type: 'report', ...report })}\n` : `${compressText(report)}\n`);
  process.stderr.write(`done; try: generate --model ${out} --prompt "The " --borders\n`);
}
