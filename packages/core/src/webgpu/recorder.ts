import * as tf from '@tensorflow/tfjs-core';
import { asWebGpu, privatesOf, type WebGpuBackend, type WebGpuPrivates } from '../backend/webgpu-backend.js';
import { BackendError, ConfigError } from '../errors.js';
import { getKernelPolicy } from '../op/define-op.js';
import { capture, flush, release, type Capture } from './recorder-capture.js';

/** Bytes of each row (axis 0) that one step may hand back to the host: a sampled byte, a boundary flag, an entropy, a stop flag. */
const MOST_READ = 16;
const STAGING = 3;

export interface StepToRecord {
  /** Tensors whose values change from step to step. `run` reads them as they are; each may be written before a step. The recording keeps them alive. */
  inputs: Readonly<Record<string, tf.Tensor>>;
  /**
   * The step. It is called once, and what it dispatches is noted, not run. What it takes from the host (numbers that become uniforms, tensors
   * made from host values) stays as it was then: positions and lengths have to be inputs. States may be changed in place, or be returned and
   * named in `feedback`.
   */
  run: () => Readonly<Record<string, tf.Tensor>>;
  /** Outputs that become inputs of the next step, by the input's name: copied on the device. */
  feedback?: Readonly<Record<string, string>>;
}

/** A step that is replayed in one compute pass and one submission, without creating anything. */
export class RecordedStep {
  /** Tensors that `run` returned; each replay changes their values. */
  readonly outputs: Readonly<Record<string, tf.Tensor>>;
  private readonly inputs: Readonly<Record<string, tf.Tensor>>;
  private readonly staging: GPUBuffer[] = [];
  private readonly feedback: (readonly [from: tf.Tensor, to: tf.Tensor])[];
  private isDisposed = false;

  /** @internal */
  constructor(
    private readonly backend: WebGpuBackend,
    private readonly own: WebGpuPrivates,
    private readonly captured: Capture,
    step: StepToRecord,
    outputs: Readonly<Record<string, tf.Tensor>>,
  ) {
    this.inputs = step.inputs;
    this.outputs = outputs;
    this.feedback = Object.entries(step.feedback ?? {}).map(([input, output]) => [outputs[output]!, step.inputs[input]!] as const);
  }

  /** Dispatches of a step. */
  get dispatches(): number {
    return this.captured.dispatches.length;
  }

  /** New values of an input, used from the next replay on. @throws ConfigError for another name or size. */
  write(name: string, values: Float32Array | Int32Array): void {
    const input = this.inputs[name];
    if (!input) throw new ConfigError(`[RecordedStep.write] expected one of the inputs ${Object.keys(this.inputs).join(', ')}, got \`${name}\`.`);
    const isInt = input.dtype !== 'float32';
    if (values.length !== input.size || values instanceof Int32Array !== isInt) {
      throw new ConfigError(`[RecordedStep.write] \`${name}\`: expected ${input.size} values as ${isInt ? 'Int32Array' : 'Float32Array'}, got ${values.length} as ${values.constructor.name}.`);
    }
    this.backend.queue.writeBuffer(this.bufferOf(input), 0, values as Float32Array<ArrayBuffer>);
    this.forget(input);
  }

  /** Replays the step; what follows on the device sees its results. */
  run(): void {
    this.encode();
  }

  /**
   * Replays the step and hands back one small output.
   * @throws ConfigError for an output of more than 16 bytes a row: a step reads back what the host has to know, the rest stays on the device.
   */
  async read(name: string): Promise<Float32Array | Int32Array> {
    const output = this.outputs[name];
    if (!output) throw new ConfigError(`[RecordedStep.read] expected one of the outputs ${Object.keys(this.outputs).join(', ')}, got \`${name}\`.`);
    const bytes = output.size * 4;
    const most = MOST_READ * (output.rank ? output.shape[0]! : 1);
    if (bytes > most) throw new ConfigError(`[RecordedStep.read] \`${name}\` takes ${bytes} bytes, a step hands back at most ${most}. Hint: sample on the device; read large outputs with \`outputs.${name}.data()\`.`);
    const staging = this.stagingOf(bytes);
    this.encode((encoder) => encoder.copyBufferToBuffer(this.bufferOf(output), 0, staging, 0, bytes));
    await staging.mapAsync(GPUMapMode.READ, 0, bytes);
    const data = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    if (this.isDisposed || this.staging.length >= STAGING) staging.destroy();
    else this.staging.push(staging);
    return output.dtype === 'float32' ? new Float32Array(data) : new Int32Array(data);
  }

  /** Frees the recording, its outputs, and what it held for its steps. The inputs are the caller's. */
  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    release(this.backend, this.own, this.captured);
    for (const s of this.staging) s.destroy();
    const inputs = new Set(Object.values(this.inputs));
    tf.dispose(Object.values(this.outputs).filter((t) => !inputs.has(t)));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private encode(after?: (encoder: GPUCommandEncoder) => void): void {
    if (this.isDisposed) throw new BackendError('[RecordedStep] the recording was disposed.');
    flush(this.backend);
    const encoder = this.backend.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    let pipeline: GPUComputePipeline | undefined;
    for (const d of this.captured.dispatches) {
      if (d.pipeline !== pipeline) pass.setPipeline((pipeline = d.pipeline));
      pass.setBindGroup(0, d.bindGroup);
      pass.dispatchWorkgroups(...(d.workgroups as [number, number, number]));
    }
    pass.end();
    after?.(encoder);
    for (const [from, to] of this.feedback) encoder.copyBufferToBuffer(this.bufferOf(from), 0, this.bufferOf(to), 0, from.size * 4);
    this.backend.queue.submit([encoder.finish()]);
    for (const t of [...Object.values(this.outputs), ...Object.values(this.inputs)]) this.forget(t);
  }

  /** A buffer to read from: one of those that are free, or a new one. */
  private stagingOf(bytes: number): GPUBuffer {
    const at = this.staging.findIndex((b) => b.size >= bytes);
    if (at >= 0) return this.staging.splice(at, 1)[0]!;
    return this.backend.device.createBuffer({ label: 'recorded step', size: Math.max(MOST_READ, bytes), usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  }

  private bufferOf(t: tf.Tensor): GPUBuffer {
    return this.backend.tensorMap.get(t.dataId).resource!;
  }

  /** What was read of a tensor before is no longer its value. */
  private forget(t: tf.Tensor): void {
    this.backend.tensorMap.get(t.dataId).values = null;
  }
}

/** Whether steps can be recorded now: on webgpu, with its own kernels, and a tfjs whose command encoder is where it was. */
export function canRecord(): boolean {
  return tf.getBackend() === 'webgpu' && getKernelPolicy() === 'auto' && privatesOf(asWebGpu(tf.backend() as never)) !== null;
}

/**
 * Records what a step dispatches: pipelines, bind groups and sizes. A replay encodes them again in one pass, which costs a few microseconds a
 * dispatch, where ops through tfjs cost a hundred and more.
 *
 * @throws BackendError on other backends than webgpu, and where `run` reads values back.
 * @example
 * const step = recordStep({ inputs: { ids, state }, run: () => { const { logits, next } = cell(ids, state); return { id: sampleIds(logits, draw), next }; }, feedback: { ids: 'id', state: 'next' } });
 * const [id] = await step.read('id');
 */
export function recordStep(step: StepToRecord): RecordedStep {
  if (tf.getBackend() !== 'webgpu') throw new BackendError(`[recordStep] expected the backend webgpu, the active one is ${tf.getBackend()}.`);
  const backend = asWebGpu(tf.backend() as never);
  const own = privatesOf(backend);
  if (!own) throw new BackendError('[recordStep] this version of tfjs keeps its command encoder elsewhere. Hint: @tensorflow/tfjs-backend-webgpu 4.22.');
  for (const t of Object.values(step.inputs)) backend.uploadToGPU(t.dataId);
  let outputs!: Readonly<Record<string, tf.Tensor>>;
  const captured = capture(backend, own, () => {
    outputs = tf.tidy(() => {
      const made = step.run();
      return Object.fromEntries(Object.entries(made).map(([name, t]) => [name, tf.keep(t)]));
    });
  });
  for (const [input, output] of Object.entries(step.feedback ?? {})) {
    const [to, from] = [step.inputs[input], outputs[output]];
    if (!to || !from || to.size !== from.size || to.dtype !== from.dtype) {
      release(backend, own, captured);
      tf.dispose(Object.values(outputs));
      throw new ConfigError(`[recordStep] feedback ${output} → ${input}: expected an output and an input of one size and dtype, got ${[from, to].map((t) => (t ? `${t.dtype} (${t.shape.join(', ')})` : 'none')).join(' and ')}.`);
    }
  }
  return new RecordedStep(backend, own, captured, step, outputs);
}
