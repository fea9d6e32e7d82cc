import * as tf from '@tensorflow/tfjs-core';
import { joinOnDevice, type OnDevice } from '../contracts/on-device.js';
import { runEach } from '../webgpu/kernel.js';
import type { SequenceLMParts, SequenceLMState } from './sequence-lm.js';

/** What is added to the parts' states where ids end documents. */
interface Ends {
  /** (B) int32, 1 where the last id ended a document. */
  ended: tf.Tensor1D;
  /** (V) int32, 1 at the ids that do. */
  isEnd: tf.Tensor1D;
}

/** Steps of a language model on the device, where embedding and backbone have them: ids (B) int32 → logits (B, V). */
export function lmOnDevice({ embed, backbone, head }: SequenceLMParts, documentEnds: readonly number[]): OnDevice<tf.Tensor1D, tf.Tensor2D, SequenceLMState> | undefined {
  const parts = { embed: embed.onDevice, backbone: backbone.onDevice };
  const plain = joinOnDevice(parts, (ids: tf.Tensor1D, state, rows) => {
    const x = parts.embed!.step(ids, state.embed, rows);
    return head.forward(parts.backbone!.step(x, state.backbone, { ...rows, ids })) as tf.Tensor2D;
  });
  if (!plain || !documentEnds.length) return plain;
  return {
    ...plain,
    begin: (state, room) => ({
      ...plain.begin(state, room),
      ended: tf.tensor1d(Int32Array.from(state.ended!), 'int32'),
      isEnd: tf.tensor1d(Int32Array.from({ length: head.vocabSize }, (_, id) => Number(documentEnds.includes(id))), 'int32'),
    }),
    extend: (state, room) => ({ ...state, ...plain.extend(state, room) }),
    step(ids, state, rows) {
      const fresh = rows.fresh ? tf.maximum(rows.fresh, state.ended as tf.Tensor1D) : state.ended;
      const logits = plain.step(ids, state, { ...rows, fresh });
      noteEnds(ids, state);
      return logits;
    },
  };
}

/** For the next step; runs behind all that reads `ended` in this one. */
function noteEnds(ids: tf.Tensor1D, { ended, isEnd }: Ends): void {
  runEach(tf.backend(), ids.size, {
    key: 'document ends',
    reads: [{ name: 'ids', type: 'u32', tensor: ids }, { name: 'isEnd', type: 'u32', tensor: isEnd }],
    writes: [{ name: 'ended', type: 'u32', out: ended }],
    uniforms: {},
    body: () => '  ended[i] = isEnd[min(ids[i], arrayLength(&isEnd) - 1u)];',
  });
}
