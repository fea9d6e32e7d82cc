import type { ByteVocabulary, SequenceLM } from '@bytelm/core';
import { AdamW, groupParameters, trainLoop, type StepEvent } from '@bytelm/core/train';
import { openWindows, scheduleOf, type RunSettings } from '@bytelm/example-shared/train';

/** Trains a model as every other one here: same text in the same order, same schedule, one rate for all parameters; matrices decay, tables do not. */
export async function trainModel(model: SequenceLM, vocabulary: ByteVocabulary, settings: RunSettings, onStep: (event: StepEvent) => void, signal?: AbortSignal): Promise<void> {
  const { steps, clip, weightDecay } = settings;
  const groups = groupParameters(model.parameters(), (name, variable) => ({ lrMultiplier: 1, weightDecay: variable.rank > 1 && !/embed/.test(name) ? weightDecay : 0 }));
  const optimizer = new AdamW(groups, { betas: [0.9, 0.95], eps: 1e-8 });
  const { batches, close } = await openWindows(settings, vocabulary);
  try {
    for await (const event of trainLoop({ model, batches, optimizer, schedule: scheduleOf(settings), steps, clip, signal })) {
      if (event.type === 'step') onStep(event);
    }
  } finally {
    await close();
    optimizer.dispose();
  }
}
