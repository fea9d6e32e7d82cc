import { InvalidArgumentError, Option, type Command } from 'commander';
import { byteRange, real, whole, withSharedOptions } from '@bytelm/example-shared/cli';
import { STAGE1_LOSSES, STAGE_DEFAULTS as D } from '../byteify/settings.js';

/** Options of every command that trains in stages. */
export function withStageOptions(command: Command): Command {
  command
    .option('--data <path...>', 'files and folders of text')
    .option('--range <start:end>', 'bytes of the data to train on (default: all but the held-out part)', byteRange)
    .option('--valid-data <path...>', 'held-out files and folders')
    .option('--valid-range <start:end>', 'held-out bytes (default: the last 5 %, at most 256 KiB)', byteRange)
    .requiredOption('--out <folder>', 'where the run is kept')
    .option('--resume', 'continue the run in --out, with its settings')
    .option('--stop-at <step>', 'save and stop after this step, as Ctrl-C would; steps of all stages count', whole(0))
    .option('--patches <number>', `tokens of a row, the begin symbol included (default: ${D.patches})`, whole(2))
    .option('--batch <rows>', `rows of a batch (default: ${D.batch})`, whole())
    .option('--accumulate <batches>', `batches of an update (default: ${D.accumulate})`, whole())
    .addOption(new Option('--loss <name>', 'exact: the published weights, plain means, no "white space follows" term; published: all published flags; paper: as the paper writes it (default: exact)').choices(Object.keys(STAGE1_LOSSES)))
    .option('--warmup <share>', `share of a stage's steps in which the rate rises; then it falls to 0 (default: ${D.warmup})`, real(0, 0.99))
    .option('--weight-decay <number>', `decoupled; embeddings have none (default: ${D.weightDecay})`, real(0))
    .option('--clip <norm>', `largest global gradient norm, 0 for none (default: ${D.clip})`, real(0))
    .option('--eval-every <steps>', `bits per byte of held-out text on the way, 0: never (default: ${D.evalEvery})`, whole(0))
    .option('--eval-bytes <number>', `held-out bytes of such an evaluation (default: ${D.evalBytes})`, whole())
    .option('--window <bytes>', `its windows (default: ${D.window})`, whole(2))
    .option('--report-bytes <number>', `held-out bytes of the report (default: ${D.reportBytes})`, whole())
    .option('--save-every <steps>', `steps between checkpoints (default: ${D.saveEvery})`, whole())
    .option('--keep <number>', `checkpoints to keep (default: ${D.keep})`, whole())
    .option('--token-cache <folder>', 'where the tokens of the text are kept for the next start (default: --out)')
    .option('--boundary-threshold <rule>', 'when the boundary predictor cuts: sample:0 above one half, as published; above:P above a probability of P (default: sample:0, or what the model has)', readThreshold)
    .option('--json', 'print events and the report as lines of JSON');
  return withSharedOptions(command, 'auto');
}

function readThreshold(text: string): string {
  const isLimit = /^above:(0|0?\.\d+)$/.test(text);
  if (!isLimit && text !== 'sample:0') throw new InvalidArgumentError('expected sample:0, or above:P with a probability below 1, as in above:0.3.');
  return text;
}

/** Options that steer a run and are no settings of it. */
export interface SteeringOptions {
  out: string;
  resume?: boolean;
  stopAt?: number;
  json?: boolean;
}

export const RESUME_NOTE = `
Ctrl-C saves and stops; --resume goes on where it was, in the stage it was in, bit for bit on the same backend.`;

/** What the user reads when a run was stopped. */
export const stoppedText = (command: string, out: string): string => `stopped; continue with: ${command} --resume --out ${out}\n`;
