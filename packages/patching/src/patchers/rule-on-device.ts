import { DataError, type DeviceDecision, type OnDevice } from '@bytelm/core';
import { runEach, u32 } from '@bytelm/core/webgpu';
import * as tf from '@tensorflow/tfjs-core';
import type { PatcherState, RulePatcher } from './patcher.js';

/** A rule on ids as a kernel asks it. */
export interface DeviceRule<S> {
  /** WGSL, bool: does the patch end with this id? It knows `kind` and `before`, of this id and the one before it, and `position`, all i32. Names the kernel. */
  closes: string;
  /** What an id is to the rule: any bits but the lowest, which is taken. */
  kindOf(id: number): number;
  /** The kind of the last id that a row has read. */
  lastOf?(state: S, row: number): number;
}

interface DeviceRows {
  /** (B, 3) int32 ids read of the document, ids in the open patch, kind of the last id. */
  memory: tf.Tensor2D;
  /** (V) int32 kinds; the lowest bit: it ends a document. */
  kinds: tf.Tensor1D;
}

/** Steps on the device of a patcher whose rule needs to know no more than an id, the one before it, and the position: `RulePatcher.step`, in one dispatch. */
export function ruleOnDevice<S extends PatcherState>(patcher: RulePatcher<S>, { closes, kindOf, lastOf }: DeviceRule<S>): OnDevice<tf.Tensor2D, DeviceDecision, S, DeviceRows> {
  const { vocabulary, documentEnds, maxChunkLength } = patcher;
  return {
    canStep: () => true,
    begin(state) {
      const { position, open } = state;
      const words = Array.from(position, (p, b) => [p, open[b]!, lastOf?.(state, b) ?? 0]).flat();
      const kinds = Int32Array.from({ length: vocabulary.vocabSize }, (_, id) => kindOf(id) | Number(documentEnds.has(id)));
      return { memory: tf.tensor2d(Int32Array.from(words), [position.length, 3], 'int32'), kinds: tf.tensor1d(kinds, 'int32') };
    },
    extend: (state) => state,
    step(_hidden, { memory, kinds }, { ids, fresh }) {
      if (!ids) throw new DataError(`[${patcher.constructor.name}] step: expected ids, got none. Hint: only the outermost stage of a hierarchy has them.`);
      const [, boundary] = runEach(tf.backend(), ids.size, {
        key: `patch rule ${closes}${fresh ? ', fresh' : ''}`,
        reads: [{ name: 'ids', type: 'u32', tensor: ids }, { name: 'kinds', type: 'i32', tensor: kinds }, ...(fresh ? [{ name: 'fresh', type: 'u32' as const, tensor: fresh }] : [])],
        writes: [{ name: 'memory', type: 'i32', out: memory }, { name: 'boundary', type: 'i32', out: { shape: [ids.size], dtype: 'int32' } }],
        uniforms: { most: u32(maxChunkLength ?? 2 ** 31 - 1), ids: u32(vocabulary.vocabSize) },
        body: () => `  let at = 3u * i;
  let kind = kinds[min(ids[i], u.ids - 1u)];
  let before = memory[at + 2u];
  var position = memory[at];
  var open = memory[at + 1u] + 1;
  ${fresh ? 'if (fresh[i] != 0u) { position = 0; open = 1; }' : ''}
  let isEnd = (kind & 1) != 0;
  let isBoundary = position == 0 || (${closes}) || u32(open) == u.most || isEnd;
  boundary[i] = select(0, 1, isBoundary);
  memory[at] = select(position + 1, 0, isEnd);
  memory[at + 1u] = select(open, 0, isBoundary);
  memory[at + 2u] = kind;`,
      });
      return { boundary: tf.engine().makeTensorFromTensorInfo(boundary!) as tf.Tensor1D };
    },
  };
}
