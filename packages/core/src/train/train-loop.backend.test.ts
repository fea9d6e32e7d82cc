import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Rng } from '../rng.js';
import { backendsForTest, expectNoLeak, useBackend } from '../testing/index.js';
import { AdamW, groupParameters } from './adamw.js';
import { bytesInMemory } from './byte-store.js';
import { ByteWindows } from './byte-windows.js';
import { loadCheckpoint, listCheckpoints } from './checkpoint.js';
import { wsd } from './schedules.js';
import { BigramModel } from './test-model.js';
import { trainLoop, type StepEvent, type TrainEvent, type TrainLoopOptions } from './train-loop.js';

const text = new TextEncoder().encode('the quick brown fox jumps over the lazy dog, and then the dog sleeps in the sun; '.repeat(6));

/** A run from scratch; the same seeds give the same numbers. */
function start(overrides: Partial<TrainLoopOptions> = {}) {
  const model = new BigramModel(3);
  const optimizer = new AdamW(groupParameters(model.parameters(), (name) => ({ weightDecay: name.startsWith('emb') ? 0 : 0.1, lrMultiplier: name.startsWith('emb') ? 2 : 1 })));
  const batches = new ByteWindows(bytesInMemory(text), { length: 16, batch: 4, seed: 5, bos: 254 });
  const rng = new Rng(9);
  const options: TrainLoopOptions = { model, optimizer, batches, rng, schedule: wsd({ peak: 0.05, steps: 12 }), steps: 12, ...overrides };
  const dispose = () => {
    optimizer.dispose();
    model.dispose();
  };
  return { model, optimizer, batches, rng, options, dispose };
}

async function collect(options: TrainLoopOptions): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const e of trainLoop(options)) events.push(e);
  return events;
}
const steps = (events: TrainEvent[]) => events.filter((e): e is StepEvent => e.type === 'step');
const values = async (model: BigramModel) => Promise.all([...new Set(model.parameters().values())].map(async (v) => [...(await v.data())]));

describe.each(backendsForTest())('trainLoop on %s', (backend) => {
  let folder: string;
  beforeAll(() => useBackend(backend));
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'bytelm-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('lowers the loss and reports each step', async () => {
    const run = start({ evaluate: { every: 5, run: async (step) => ({ bpb: step }) } });
    const events = await collect(run.options);
    const all = steps(events);
    expect(all.map((e) => e.step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(all[11]!.loss).toBeLessThan(all[0]!.loss - 1);
    expect(all[0]).toMatchObject({ bytes: 64, parts: { width: 8 } });
    expect(all[0]!.parts.crossEntropy).toBe(all[0]!.loss);
    expect(all[0]!.gradNorm).toBeGreaterThan(0);
    expect(events.filter((e) => e.type === 'evaluation').map((e) => e.step)).toEqual([5, 10, 12]);
    expect(events.at(-1)).toEqual({ type: 'end', step: 12, stopped: false });
    run.dispose();
  });

  it('continues bit for bit after a stop, on the same backend', async () => {
    const whole = start();
    const expected = steps(await collect(whole.options));
    const stop = new AbortController();
    const first = start({ checkpoint: { folder, every: 3, extra: { note: 'kept' } }, signal: stop.signal });
    const before: TrainEvent[] = [];
    for await (const e of trainLoop(first.options)) {
      before.push(e);
      if (e.type === 'step' && e.step === 5) stop.abort();
    }
    expect(before.at(-1)).toEqual({ type: 'end', step: 5, stopped: true });
    first.rng.next();

    const second = start({ checkpoint: { folder, every: 100 } });
    const { step, extra } = await loadCheckpoint(folder, { ...second });
    expect([step, extra]).toEqual([5, { note: 'kept' }]);
    const after = steps(await collect({ ...second.options, startStep: step }));
    const numbers = (list: StepEvent[]) => list.map(({ step: s, loss, gradNorm, lr, parts }) => ({ s, loss, gradNorm, lr, parts }));
    expect(numbers([...steps(before), ...after])).toEqual(numbers(expected));
    expect(await values(second.model)).toEqual(await values(whole.model));
    expect(second.rng.state).toEqual(new Rng(9).state);
    [whole, first, second].forEach((r) => r.dispose());
  });

  it('keeps the newest checkpoints and leaves no temporary files', async () => {
    const run = start({ steps: 7, checkpoint: { folder, every: 2, keep: 2 } });
    const events = await collect(run.options);
    expect(events.filter((e) => e.type === 'checkpoint').map((e) => e.step)).toEqual([2, 4, 6, 7]);
    expect((await listCheckpoints(folder)).map((c) => c.step)).toEqual([6, 7]);
    expect(readdirSync(folder).sort()).toEqual(['checkpoint-00000006', 'checkpoint-00000007']);
    expect(readdirSync(join(folder, 'checkpoint-00000007')).sort()).toEqual(['model.safetensors', 'optimizer.safetensors', 'state.json']);
    run.dispose();
  });

  it('accumulates: two batches of two rows are one of four', async () => {
    const run = async (batch: number, accumulate: number) => {
      const r = start({ batches: new ByteWindows(bytesInMemory(text), { length: 16, batch, seed: 5, bos: 254 }), accumulate, steps: 4 });
      const events = steps(await collect(r.options));
      r.dispose();
      return events;
    };
    const [one, two] = [await run(4, 1), await run(2, 2)];
    two.forEach((e, i) => {
      expect(e.loss).toBeCloseTo(one[i]!.loss, 5);
      expect(e.gradNorm).toBeCloseTo(one[i]!.gradNorm, 5);
      expect(e.bytes).toBe(64);
    });
  });

  it('a loss that is not finite stops it before the parameters change, naming step and tensor', async () => {
    const run = start();
    const good = run.model.lossAndGrads.bind(run.model);
    let call = 0;
    run.model.lossAndGrads = async (batch) => {
      const out = await good(batch);
      if (++call < 3) return out;
      const g = out.grads.get('lm_head.weight')!;
      out.grads.set('lm_head.weight', tf.mul(g, NaN)).set('tied.weight', out.grads.get('lm_head.weight')!);
      g.dispose();
      return out;
    };
    let kept: number[][] = [];
    await expect(
      (async () => {
        for await (const e of trainLoop(run.options)) if (e.type === 'step') kept = await values(run.model);
      })(),
    ).rejects.toMatchObject({ code: 'numeric', message: expect.stringMatching(/\[trainLoop\] step 3: loss [\d.]+, gradient norm NaN.*the gradient of lm_head\.weight/) });
    expect(await values(run.model)).toEqual(kept);

    const broken = start();
    const parameter = broken.model.parameters().get('embeddings.weight')!;
    const nan = tf.fill(parameter.shape, NaN);
    parameter.assign(nan);
    await expect(collect(broken.options)).rejects.toThrow(/step 1: loss NaN.*parameter embeddings\.weight/);
    [run, broken].forEach((r) => r.dispose());
  });

  it('leaks nothing', async () => {
    await expectNoLeak(async () => {
      const run = start({ steps: 50, accumulate: 2, checkpoint: { folder, every: 25 } });
      await collect(run.options);
      await loadCheckpoint(folder, { ...run });
      run.dispose();
    });
  });
});
