import { ConfigError } from '@bytelm/core';
import { tokensInMemory, type SubwordTokenizer, type TokenStore } from '@bytelm/distill';
import { cachedTokens, tokensOfText } from '@bytelm/example-olmo';
import { count, createProgress } from '@bytelm/example-shared/cli';
import { openText, readBytes, type TextRanges } from '@bytelm/example-shared/train';
import { runSettings, type StageSettings } from './settings.js';

/** The text of a run. */
export interface StageText {
  /** Tokens to train on. */
  train: TokenStore;
  /** Held-out bytes: the first of them, for evaluations on the way and for the report. */
  heldOut: Uint8Array;
  ranges: TextRanges;
}

/** Reads and cuts the text of a run; something is held out always. @throws DataError for text that does not survive its tokenizer, or is missing. @param out Folder of the run. */
export async function readStageText(settings: StageSettings, tokenizer: SubwordTokenizer, out: string): Promise<StageText> {
  const wanted = Math.max(settings.evalBytes, settings.reportBytes);
  const { train, valid, ranges } = await openText({ ...runSettings(settings, { steps: 1, lr: 0 }), evalEvery: 1, evalBytes: wanted });
  await train.close();
  if (!valid.length) throw new ConfigError(`[byteify] ${settings.data.join(', ')}: expected enough text to hold some out for the report, got ${ranges.train[1] - ranges.train[0]} bytes. Hint: --valid-data names other text.`);
  const bytes = await readBytes(settings.data, ranges.train);
  const progress = createProgress({ total: bytes.length, unit: 'character' });
  try {
    const ids = await cachedTokens(bytes, tokenizer, settings.data.join(', '), {
      folder: settings.tokenCache ?? out,
      onProgress: (done) => progress.update(done, 'cut into tokens'),
      onWarning: (message) => progress.log(`warning: ${message}`),
    });
    const tokens = tokensInMemory(ids, tokenizer.vocabulary);
    progress.stop();
    process.stderr.write(`data: ${count(bytes.length)} bytes in ${count(tokens.size)} tokens of ${bytesPerToken(tokens).toFixed(2)} bytes, ${count(valid.length)} held out\n`);
    return { train: tokens, heldOut: valid, ranges };
  } finally {
    progress.stop();
  }
}

/** Held-out bytes as tokens. */
export const heldOutTokens = (bytes: Uint8Array, tokenizer: SubwordTokenizer): TokenStore => tokensInMemory(tokensOfText(bytes, tokenizer, 'the held-out text'), tokenizer.vocabulary);

export const bytesPerToken = ({ bytes, size }: TokenStore): number => bytes / Math.max(1, size);

/** Bytes of an update, on average: every row is the begin symbol and then tokens. */
export const bytesPerStep = ({ batch, accumulate, patches }: StageSettings, tokens: TokenStore): number => batch * accumulate * (patches - 1) * bytesPerToken(tokens);
