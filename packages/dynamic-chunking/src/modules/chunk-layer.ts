import * as tf from '@tensorflow/tfjs-core';
import { gatherRows, takeRows, withoutState, type BoundaryDecision, type Downsampler, type Segmentation } from '@bytelm/core';

/**
 * H-Net's downsampler: keeps the encoder's vectors at boundaries, (B, L, D) → (B, M, D), zeros behind a row's last chunk.
 * No parameters, no state. @source H-Net, arXiv 2507.07955, section 2.2 (direct selection).
 */
export class ChunkLayer implements Downsampler<null> {
  /** Every row's vector goes on; the main network heeds those of boundaries. */
  readonly onDevice = withoutState(({ encoded }: { encoded: tf.Tensor2D }) => encoded);

  forward(encoded: tf.Tensor3D, seg: Segmentation): tf.Tensor3D {
    return gatherRows(encoded, seg.boundaryIndex());
  }

  initState(): null {
    return null;
  }

  prefill(encoded: tf.Tensor3D, seg: Segmentation): { chunks: tf.Tensor3D; state: null } {
    return { chunks: this.forward(encoded, seg), state: null };
  }

  step(encoded: tf.Tensor2D, decision: BoundaryDecision): { chunks?: tf.Tensor2D; state: null } {
    const fired = firedIndex(decision);
    if (!fired.length) return { state: null };
    return { chunks: takeRows(encoded, fired.length === decision.boundary.length ? undefined : fired), state: null };
  }
}

/** Indices, within the rows of a step, of those that fired. */
export function firedIndex({ boundary }: BoundaryDecision): number[] {
  const out: number[] = [];
  boundary.forEach((b, i) => b && out.push(i));
  return out;
}
