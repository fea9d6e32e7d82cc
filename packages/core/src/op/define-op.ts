import * as tf from '@tensorflow/tfjs-core';
import type { KernelBackend, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';

/** The backends a kernel can be written for. */
export type BackendName = 'cpu' | 'wasm' | 'webgpu' | 'tensorflow';
export const BACKEND_NAMES: readonly BackendName[] = ['cpu', 'wasm', 'webgpu', 'tensorflow'];

/** Named inputs of an op; optional ones are simply absent. */
export type OpInputs<N extends string> = { [K in N]?: tf.Tensor };

/** What a hand-written kernel gets. */
export interface KernelCall<N extends string, A> {
  inputs: { [K in N]?: TensorInfo };
  attrs: A;
  backend: KernelBackend;
}

/** Returns the outputs, or `null` to decline this call: the portable form then runs. */
export type FastKernel<N extends string, A> = (call: KernelCall<N, A>) => TensorInfo[] | null;

export interface OpSpec<N extends string, A extends object> {
  /** Upper camel case; the tfjs kernel is called `Bytelm<name>`. */
  name: string;
  /** Every input name, required and optional. */
  inputs: readonly N[];
  /**
   * The op out of tfjs ops that are sound on every backend. Runs inside `tf.tidy`, is not recorded on the gradient tape, and must
   * return fresh tensors (clone an input before returning it).
   */
  portable: (inputs: OpInputs<N>, attrs: A) => tf.Tensor[];
  /** The definition, as slow as it likes; used by tests and by `setKernelPolicy('naive')`. */
  naive?: (inputs: OpInputs<N>, attrs: A) => tf.Tensor[];
  /** Hand-written kernels of single backends. */
  kernels?: Partial<Record<BackendName, FastKernel<N, A>>>;
  /** For each output: does `gradient` need its value? Default: none. */
  saveOutputs?: readonly boolean[];
  /**
   * Gradients by input name, from the gradients of all outputs (an unused output arrives as zeros). Runs eagerly in one `tf.tidy`.
   * Inputs without an entry are not differentiable. An entry may be a function, called only where that gradient is wanted (that of a frozen
   * weight is not): it must not use tensors that `gradient` made, they are gone by then.
   */
  gradient?: (call: GradientCall<N, A>) => OpGradients<N>;
}

export type OpGradients<N extends string> = { [K in N]?: tf.Tensor | (() => tf.Tensor) | undefined };

export interface GradientCall<N extends string, A> {
  dys: tf.Tensor[];
  inputs: OpInputs<N>;
  /** Saved outputs at their own position; `undefined` where `saveOutputs` is false. */
  outputs: (tf.Tensor | undefined)[];
  attrs: A;
}

/** Runs the op on the active backend; returns all outputs. */
export type Op<N extends string, A extends object> = ((inputs: OpInputs<N>, attrs: A) => tf.Tensor[]) & { readonly spec: OpSpec<N, A> };

export type KernelPolicy = 'auto' | 'portable' | 'naive';
let policy: KernelPolicy = 'auto';

/** Forces one implementation of every op, for debugging, tests and benchmarks. */
export function setKernelPolicy(next: KernelPolicy): void {
  policy = next;
}

export function getKernelPolicy(): KernelPolicy {
  return policy;
}

/** Travels with each call in the attributes: tfjs hands gradients a bare list of inputs. */
interface Envelope<N extends string, A> {
  names: N[];
  attrs: A;
}

/**
 * Defines an op once: registers its kernel on every backend and its gradient at the first call, each guarded, so that two copies of a
 * package (ESM and CJS) can live in one process and bundlers can drop ops that are not called.
 *
 * @example
 * const scale = defineOp<'x', { factor: number }>({
 *   name: 'Scale', inputs: ['x'],
 *   portable: ({ x }, { factor }) => [tf.mul(x!, factor)],
 *   gradient: ({ dys: [dy], attrs }) => ({ x: tf.mul(dy!, attrs.factor) }),
 * });
 * const [y] = scale({ x }, { factor: 3 });
 */
export function defineOp<N extends string, A extends object>(spec: OpSpec<N, A>): Op<N, A> {
  const kernelName = `Bytelm${spec.name}`;
  let registered = false;
  const op = (inputs: OpInputs<N>, attrs: A): tf.Tensor[] => {
    if (!registered) {
      register(kernelName, spec);
      registered = true;
    }
    const direct = runDirectly(spec, inputs, attrs);
    if (direct) return direct;
    const names: N[] = [];
    const list: tf.Tensor[] = [];
    for (const n of spec.inputs) {
      const t = inputs[n];
      if (t === undefined || t === null) continue;
      names.push(n);
      list.push(t);
    }
    const envelope: Envelope<N, A> = { names, attrs };
    // An array, not a map: only so does tfjs save "all inputs" whatever optional ones are present.
    const out = tf.engine().runKernel(kernelName, list as never, envelope as unknown as NamedAttrMap) as unknown as tf.Tensor | tf.Tensor[];
    return Array.isArray(out) ? out : [out];
  };
  return Object.assign(op, { spec });
}

/**
 * The active backend's own kernel without tfjs' engine around it, where no gradient is recorded: the engine adds about a third to a call
 * on small tensors, which is what decoding a byte is made of. Scopes (`tf.tidy`) see the outputs all the same. `undefined`: take the way through the engine.
 */
function runDirectly<N extends string, A extends object>(spec: OpSpec<N, A>, inputs: OpInputs<N>, attrs: A): tf.Tensor[] | undefined {
  const engine = tf.engine();
  const fast = spec.kernels?.[engine.backendName as BackendName];
  if (!fast || policy !== 'auto' || engine.state.gradientDepth > 0 || engine.state.profiling) return undefined;
  const given: { [K in N]?: TensorInfo } = {};
  for (const n of spec.inputs) if (inputs[n]) given[n] = inputs[n];
  const out = fast({ inputs: given, attrs, backend: engine.backend });
  return out?.map((info) => (info instanceof tf.Tensor ? info : engine.makeTensorFromTensorInfo(info)));
}

function register<N extends string, A extends object>(kernelName: string, spec: OpSpec<N, A>): void {
  const unpack = <T>(list: T[], names: N[]): { [K in N]?: T } => {
    const out: { [K in N]?: T } = {};
    for (let i = 0; i < names.length; i++) out[names[i]!] = list[i]!;
    return out;
  };
  for (const backendName of BACKEND_NAMES) {
    if (tf.getKernel(kernelName, backendName)) continue;
    const fast = spec.kernels?.[backendName];
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs, backend }) => {
        const { names, attrs: own } = attrs as unknown as Envelope<N, A>;
        const list = inputs as unknown as tf.Tensor[];
        if (fast && policy === 'auto') {
          const out = fast({ inputs: unpack<TensorInfo>(list, names), attrs: own, backend: backend as KernelBackend });
          if (out) return out;
        }
        const run = policy === 'naive' && spec.naive ? spec.naive : spec.portable;
        return tf.tidy(() => run(unpack(list, names) as OpInputs<N>, own));
      },
    });
  }
  const { gradient } = spec;
  if (!gradient || tf.getGradient(kernelName)) return;
  const saveOutputs = spec.saveOutputs ?? [];
  tf.registerGradient({
    kernelName,
    saveAllInputs: true,
    outputsToSave: [...saveOutputs],
    gradFunc: ((dy: tf.Tensor | tf.Tensor[], saved: tf.Tensor[], attrs: unknown) => {
      const { names, attrs: own } = attrs as Envelope<N, A>;
      const inputs = unpack(saved.slice(0, names.length), names) as OpInputs<N>;
      let next = names.length;
      const outputs = saveOutputs.map((keep) => (keep ? saved[next++] : undefined));
      const grads = tf.tidy(() => gradient({ dys: Array.isArray(dy) ? dy : [dy], inputs, outputs, attrs: own }) as tf.TensorContainer) as OpGradients<N>;
      return names.map((n) => () => {
        const g = grads[n];
        if (!g) throw new Error(`[${spec.name}] input \`${n}\` is not differentiable`);
        return typeof g === 'function' ? g() : g;
      });
    }) as never,
  });
}
