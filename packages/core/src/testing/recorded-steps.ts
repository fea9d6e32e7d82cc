import * as tf from '@tensorflow/tfjs-core';
import { asWebGpu } from '../backend/webgpu-backend.js';
import type { ByteLM } from '../contracts/index.js';
import { SequenceContext } from '../contracts/sequence-context.js';
import { generate, type GenerateEvent, type GenerateOptions } from '../generate/generate.js';
import { Rng } from '../rng.js';
import { cloneState, disposeState } from '../state.js';
import { recordStep, type RecordedStep } from '../webgpu/recorder.js';
import { maxError } from './expect.js';
import { traceWebGpu } from './webgpu.js';

/** Rows of different lengths side by side, (B*L) with zeros behind them. */
function padded(rows: readonly Int32Array[]): { ids: Int32Array; lengths: number[]; length: number } {
  const lengths = rows.map((r) => r.length);
  const length = Math.max(...lengths);
  const ids = new Int32Array(rows.length * length);
  rows.forEach((r, b) => ids.set(r, b * length));
  return { ids, lengths, length };
}

function expectEqual(actual: ArrayLike<number>, expected: ArrayLike<number>, atol: number, what: string): void {
  const error = maxError(actual as Float32Array, expected as Float32Array);
  if (!(error <= atol)) throw new Error(`${what}: off by ${error}, at most ${atol} is allowed`);
}

/**
 * Checks a model's steps on the device (webgpu): recorded, replayed, and recorded anew half way when the caches have grown, they must give the
 * logits and boundaries of `step`, and the logits of the full pass.
 *
 * @param rows ids of each row, all with the same number behind their prompts. @param prompts how many of each row are read first.
 * @param options.fullPass false for models whose full pass sees what follows.
 * @returns dispatches of a recorded step, and the WGSL of its own kernels by key.
 */
export async function expectRecordedSteps(
  model: ByteLM,
  rows: readonly Int32Array[],
  prompts: readonly number[],
  atol: number,
  { fullPass = true }: { fullPass?: boolean } = {},
): Promise<{ dispatches: number; kernels: Record<string, string> }> {
  const [B, V, steps] = [rows.length, model.vocabSize, rows[0]!.length - prompts[0]!];
  const first = padded(rows.map((r, b) => r.subarray(0, prompts[b])));
  const begun = new SequenceContext(B, first.length, first);
  const read = await model.prefill(first.ids, model.initState(B), begun);
  begun.dispose();
  read.logits.dispose();
  let onHost = read.state;
  let onDevice: unknown = model.onDevice!.begin(cloneState(read.state), Math.ceil(steps / 2));

  const ids = tf.tensor1d(new Int32Array(B), 'int32');
  const record = (): RecordedStep =>
    recordStep({
      inputs: { ids },
      run: () => {
        const boundaries: tf.Tensor1D[] = [];
        const logits = model.onDevice!.step(ids, onDevice, { boundaries });
        return { logits, ...Object.fromEntries(boundaries.map((b, s) => [`stage ${s}`, b])) };
      },
    });
  // While it is recorded, keys of kernels are checked against their texts.
  let recorded!: RecordedStep;
  const { kernels } = traceWebGpu(() => void (recorded = record()));
  const { dispatches } = recorded;
  const whole = padded(rows);
  const ctx = new SequenceContext(B, whole.length, whole);
  const full = fullPass ? await model.logits(whole.ids, ctx) : undefined;
  const all = await full?.data();
  for (let t = 0; t < steps; t++) {
    if (t === Math.ceil(steps / 2)) {
      recorded.dispose();
      onDevice = model.onDevice!.extend(onDevice, steps - t);
      recorded = record();
    }
    const fed = Int32Array.from(rows, (r, b) => r[prompts[b]! + t]!);
    const out = await model.step(fed, onHost);
    onHost = out.state;
    const expected = await out.logits.data();
    out.logits.dispose();
    recorded.write('ids', fed);
    recorded.run();
    const actual = await recorded.outputs.logits!.data();
    expectEqual(actual, expected, atol, `step ${t}, against step`);
    if (all) rows.forEach((_, b) => {
      const at = (b * whole.length + prompts[b]! + t) * V;
      expectEqual(actual.slice(b * V, (b + 1) * V), all.slice(at, at + V), atol, `step ${t}, row ${b}, against the full pass`);
    });
    for (const [s, fired] of out.fired.entries()) {
      const boundary = await recorded.outputs[`stage ${s}`]!.data();
      expectEqual(boundary, fired.map((f) => Math.max(0, f)), 0, `step ${t}, boundaries of stage ${s}`);
    }
  }
  recorded.dispose();
  ctx.dispose();
  tf.dispose([ids, ...(full ? [full] : [])]);
  disposeState(onHost);
  disposeState(onDevice);
  return { dispatches, kernels };
}

/** Of kernels by key those whose key matches, in order of their names: for snapshots. */
export const kernelsNamed = (kernels: Record<string, string>, name: RegExp): Record<string, string> =>
  Object.fromEntries(Object.entries(kernels).filter(([key]) => name.test(key)).sort(([a], [b]) => (a < b ? -1 : 1)));

/**
 * `generate` with steps recorded or not (on webgpu), and what it read back from the device behind the prompts.
 * @returns its events but for the prompts', and bytes.
 */
export async function generated(model: ByteLM, prompts: readonly Int32Array[], options: GenerateOptions): Promise<{ events: GenerateEvent[]; bytesRead: number }> {
  const { device } = asWebGpu(tf.backend() as never);
  const probe = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_DST });
  const prototype = Object.getPrototypeOf(probe) as GPUBuffer;
  probe.destroy();
  const mapAsync = prototype.mapAsync;
  let bytesRead = 0;
  prototype.mapAsync = function (this: GPUBuffer, mode, offset = 0, size = this.size - offset) {
    bytesRead += size;
    return mapAsync.call(this, mode, offset, size);
  };
  const events: GenerateEvent[] = [];
  try {
    for await (const event of generate(model, prompts, { rng: new Rng(3), ...options })) {
      if (event.type === 'prompt') bytesRead = 0;
      else events.push(event);
    }
  } finally {
    prototype.mapAsync = mapAsync;
  }
  return { events, bytesRead };
}
