import type { ByteLM, DeviceDecision, OnDevice } from '@bytelm/core';
import { runKernel, reduction, f32, u32 } from '@bytelm/core/webgpu';
import * as tf from '@tensorflow/tfjs-core';
import type { PreparedRule } from '../entropy/entropy-rule.js';
import type { EntropyPatcherState } from './entropy-patcher.js';

/** What the patcher remembers of each row, all on the device. */
interface DeviceEntropies {
  /** Of the entropy model. */
  model: unknown;
  /** (B, 3) int32 ids read of the document, ids in the open patch, and the bits of the entropy at the last id. */
  memory: tf.Tensor2D;
  /** (B) int32, 1 where the model must forget before the next id. */
  stale: tf.Tensor1D;
  /** (V) int32 what ids do: 1 ends a document, 2 makes the model forget. */
  kinds: tf.Tensor1D;
}

export interface EntropyPatching {
  model: ByteLM;
  rule: PreparedRule;
  maxChunkLength: number | undefined;
  /** Ids that end documents, and the one behind which the model forgets. */
  documentEnds: ReadonlySet<number>;
  newline: number | undefined;
}

const THREADS = 64;

/** `opensNext` in WGSL: position, e and before are there. */
function ruleText({ monotonic, addThreshold }: PreparedRule): string {
  if (monotonic) return 'position == 1 || e - before > u.threshold';
  if (addThreshold === undefined) return 'e > u.threshold';
  return 'position == 1 || (position > 2 && e > u.threshold && e - before > u.rise)';
}

/**
 * Steps of the entropy patcher on the device, where its model has them: a step of the model, and one kernel for entropy, rule and memory. The
 * entropy is a float32 sum here; on the host it is rounded once.
 */
export function entropiesOnDevice({ model, rule, maxChunkLength, documentEnds, newline }: EntropyPatching): OnDevice<tf.Tensor2D, DeviceDecision, EntropyPatcherState, DeviceEntropies> | undefined {
  const inner = model.onDevice;
  if (!inner) return undefined;
  const V = model.vocabSize;
  return {
    canStep: (batchSize) => inner.canStep(batchSize),
    begin({ model: state, position, open, previousEntropy, stale }, room) {
      const bits = new Int32Array(previousEntropy.buffer, previousEntropy.byteOffset, previousEntropy.length);
      const words = Array.from(position, (p, b) => [p, open[b]!, bits[b]!]).flat();
      const kinds = Int32Array.from({ length: V }, (_, id) => (documentEnds.has(id) ? 3 : id === newline ? 2 : 0));
      return {
        model: inner.begin(state, room),
        memory: tf.tensor2d(Int32Array.from(words), [position.length, 3], 'int32'),
        stale: tf.tensor1d(Int32Array.from(stale), 'int32'),
        kinds: tf.tensor1d(kinds, 'int32'),
      };
    },
    extend: (state, room) => ({ ...state, model: inner.extend(state.model, room) }),
    step(_hidden, state, { ids, fresh }) {
      const { memory, stale, kinds } = state;
      const forgets = fresh ? (tf.maximum(fresh, stale) as tf.Tensor1D) : stale;
      const logits = inner.step(ids!, state.model, { fresh: forgets });
      const batch = ids!.size;
      const [, , boundary] = runKernel(tf.backend(), {
        key: `entropy boundary ${ruleText(rule)}${fresh ? ', fresh' : ''}`,
        reads: [{ name: 'logits', type: 'f32', tensor: logits }, { name: 'ids', type: 'i32', tensor: ids! }, { name: 'kinds', type: 'i32', tensor: kinds }, ...(fresh ? [{ name: 'fresh', type: 'i32' as const, tensor: fresh }] : [])],
        writes: [{ name: 'memory', type: 'i32', out: memory }, { name: 'stale', type: 'i32', out: stale }, { name: 'boundary', type: 'i32', out: { shape: [batch], dtype: 'int32' } }],
        uniforms: { classes: u32(V), threshold: f32(rule.threshold), rise: f32(rule.addThreshold ?? 0), most: u32(maxChunkLength ?? 2 ** 31 - 1) },
        groups: batch,
        threads: THREADS,
        functions: () => reduction('highest', THREADS, { join: 'max(x, y)' }) + reduction('sums', THREADS, { type: 'vec2f' }),
        body: () => `  let first = group * u.classes;
  var top = -3e38;
  for (var n = t; n < u.classes; n += ${THREADS}u) { top = max(top, logits[first + n]); }
  top = highest(top, t);
  var own = vec2f();
  for (var n = t; n < u.classes; n += ${THREADS}u) {
    let z = max(logits[first + n] - top, -80.0);
    own += vec2f(exp(z), exp(z) * z);
  }
  let total = sums(own, t);
  if (t != 0u) { return; }
  let e = log(total.x) - total.y / total.x;
  let at = 3u * group;
  let kind = kinds[ids[group]];
  var position = memory[at];
  var open = memory[at + 1u] + 1;
  ${fresh ? 'if (fresh[group] != 0) { position = 0; open = 1; }' : ''}
  let before = bitcast<f32>(memory[at + 2u]);
  var closes = true;
  if (position > 0) {
    closes = (${ruleText(rule)}) || u32(open) == u.most || (kind & 1) != 0;
    memory[at + 2u] = bitcast<i32>(e);
  }
  boundary[group] = select(0, 1, closes);
  let isEnd = (kind & 1) != 0;
  memory[at] = select(position + 1, 0, isEnd);
  memory[at + 1u] = select(open, 0, closes || isEnd);
  stale[group] = select(0, 1, kind != 0);`,
      });
      return { boundary: tf.engine().makeTensorFromTensorInfo(boundary!) as tf.Tensor1D };
    },
  };
}
