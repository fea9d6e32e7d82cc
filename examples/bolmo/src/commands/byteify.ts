import { Option, type Command } from 'commander';
import { ConfigError } from '@bytelm/core';
import { real, whole } from '@bytelm/example-shared/cli';
import { runByteify } from '../byteify/byteify.js';
import { reportText } from '../byteify/report.js';
import { parseWeights, STAGE2_WEIGHT_NAMES, type ByteifySettings } from '../byteify/settings.js';
import { LOCAL_PRESETS } from '../byteify/student-config.js';
import { RESUME_NOTE, stoppedText, withStageOptions, type SteeringOptions } from './stage-options.js';

const EXAMPLES = `
Examples:
  bolmo byteify --teacher runs/teacher --data books.txt --range 0:8042244 --valid-range 8042244:8310401 --preset small --out runs/bolmo
  bolmo byteify --teacher runs/teacher --data books.txt --stage1-bytes 4_000_000 --stage2-bytes 4_000_000 --out runs/bolmo
  bolmo byteify --teacher runs/teacher --data books.txt --skip-stage1 --out runs/control
  bolmo byteify --resume --out runs/bolmo

Stage 1 teaches byte models around the frozen layers to end patches where tokens end and to say what the teacher says; stage 2 trains everything end to end.
The folder then holds the model (config.json, model.safetensors, tokenizer), report.json, byteify.json, and stage1/ and stage2/ with log.jsonl, loss.svg and checkpoints.`;

type Options = Partial<Omit<ByteifySettings, 'weights' | 'stage2Weights'>> & SteeringOptions & { weights?: string[]; stage2Weights?: string[] };

/** `bolmo byteify` */
export function addByteifyCommand(program: Command): void {
  const command = program.command('byteify').description('make a byte model of a subword model').addHelpText('after', `${EXAMPLES}${RESUME_NOTE}`);
  command
    .option('--teacher <model>', 'the subword model: a folder with config.json, weights and tokenizer.json, or a Hugging Face id')
    .option('--teacher-bytes <number>', 'bytes that it has seen, for budgets (default: what its log says)', whole())
    .addOption(new Option('--preset <name>', `layers of the byte models: ${Object.entries(LOCAL_PRESETS).map(([n, p]) => `${n} ${p.encoderLayers} + ${p.decoderLayers}`).join(', ')} (default: bolmo)`).choices(Object.keys(LOCAL_PRESETS)))
    .option('--local-encoder-layers <number>', 'in place of the preset', whole())
    .option('--local-decoder-layers <number>', 'in place of the preset', whole())
    .option('--local-heads <number>', 'heads of the byte models (default: of about 128 channels)', whole())
    .option('--local-intermediate <number>', 'width of their MLPs (default: 1.375 times the width)', whole())
    .option('--input-gate-bias <number>', "of the byte models' mLSTM layers at the beginning; -10 is as published, closed (default: -10)", real(-100))
    .option('--skip-stage1', 'leave stage 1 out and give its FLOPs to stage 2, to compare with')
    .option('--stage1-bytes <number>', "bytes of stage 1 (default: a quarter of the teacher's, or 500 steps)", whole())
    .option('--stage1-steps <number>', 'the same in updates', whole())
    .option('--stage2-bytes <number>', "bytes of stage 2 (default: a quarter of the teacher's, or 500 steps)", whole())
    .option('--stage2-steps <number>', 'the same in updates', whole())
    .option('--stage1-lr <rate>', "highest rate of stage 1 (default: the published one, scaled to the teacher's width)", real(0))
    .option('--stage2-lr <rate>', 'highest rate of stage 2 (default: likewise)', real(0))
    .option('--stage2-global-lr <rate>', 'of the main network in stage 2 (default: half of it)', real(0))
    .option('--true-boundaries [share]', "stage 2 cuts where the tokenizer does, or does so in a share of the batches; without, where the student's predictor does, as published", real(0, 1))
    .option('--weights <name=value...>', "of stage 1's losses in place of those of --loss: boundary, encoder, distill, crossEntropy, and byteDistill, which learns the teacher's whole distribution at every byte")
    .option('--stage2-weights <name=value...>', "of stage 2's losses: boundary, crossEntropy, and byteDistill, for which the teacher stays: learned from where student and tokenizer cut alike")
    .option('--encoder-blocks <number>', 'layers that stage 1 compares patches behind (default: 4, or all where there are fewer)', whole(0));
  withStageOptions(command).action(run);
}

async function run({ out, resume, stopAt, json, weights, stage2Weights, ...given }: Options): Promise<void> {
  const { teacher, data } = given;
  if (!resume && (!teacher || !data)) throw new ConfigError('[byteify] expected --teacher and --data. Hint: --resume --out FOLDER goes on with a run.');
  const chosen = {
    ...(weights && { weights: parseWeights(weights) }),
    ...(stage2Weights && { stage2Weights: parseWeights(stage2Weights, { option: '--stage2-weights', names: STAGE2_WEIGHT_NAMES }) }),
  };
  const report = await runByteify(resume ? { out } : { ...given, ...chosen, teacher: teacher!, data: data!, out }, { resume, stopAt, json });
  if (!report) {
    process.stderr.write(stoppedText('byteify', out));
    return;
  }
  process.stdout.write(json ? `${JSON.stringify({ type: 'report', ...report })}\n` : `${reportText(report)}\n`);
  process.stderr.write(`done; try: generate --model ${out} --prompt "The " --borders\n`);
}
