import { hostOutput, type HostArray, type Loops } from '@bytelm/core';
import type { PatchAttentionAttrs, PatchAttentionInput } from './shapes.js';

/** One query head and the keys it sees: indices of vectors of `heads` heads each. */
type Visit = (query: number, keys: readonly number[]) => void;

/** Every byte against the slots of its patch. */
function forSlots({ q, k, ids }: { [K in PatchAttentionInput]?: HostArray }, visit: Visit): void {
  const [B, L] = q!.shape as [number, number];
  const [, M, S] = k!.shape as [number, number, number];
  for (let i = 0; i < B * L; i++) {
    const id = ids!.values[i]!;
    if (id >= 0 && id < M) visit(i, Array.from({ length: S }, (_, s) => (Math.floor(i / L) * M + id) * S + s));
  }
}

/** Every slot against the bytes of its patch. */
function forPatches({ q, ids }: { [K in PatchAttentionInput]?: HostArray }, visit: Visit): void {
  const [B, M, S] = q!.shape as [number, number, number];
  const L = ids!.shape[1]!;
  const bytes: number[][] = Array.from({ length: B * M }, () => []);
  ids!.values.forEach((id: number, i: number) => id >= 0 && id < M && bytes[Math.floor(i / L) * M + id]!.push(i));
  bytes.forEach((keys, patch) => {
    for (let s = 0; s < S && keys.length; s++) visit(patch * S + s, keys);
  });
}

function weightsOf(q: HostArray, k: HostArray, query: number, keys: readonly number[], head: number, scale: number): number[] {
  const D = q.shape[q.shape.length - 1]!;
  const H = q.shape[q.shape.length - 2]!;
  const scores = keys.map((j) => {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += q.values[(query * H + head) * D + d]! * k.values[(j * H + head) * D + d]!;
    return scale * sum;
  });
  const top = Math.max(...scores);
  const raised = scores.map((s) => Math.exp(s - top));
  const total = raised.reduce((a, b) => a + b, 0);
  return raised.map((r) => r / total);
}

type Walk = (inputs: { [K in PatchAttentionInput]?: HostArray }, visit: Visit) => void;

const forward =
  (walk: Walk): Loops<PatchAttentionInput, PatchAttentionAttrs> =>
  (inputs, { scale }) => {
    const { q, k, v } = inputs;
    const H = q!.shape[q!.shape.length - 2]!;
    const Dv = v!.shape[v!.shape.length - 1]!;
    const y = hostOutput([...q!.shape.slice(0, -1), Dv]);
    walk(inputs, (query, keys) => {
      for (let h = 0; h < H; h++)
        weightsOf(q!, k!, query, keys, h, scale).forEach((p, n) => {
          for (let d = 0; d < Dv; d++) y.values[(query * H + h) * Dv + d]! += p * v!.values[(keys[n]! * H + h) * Dv + d]!;
        });
    });
    return [y];
  };

const backward =
  (walk: Walk): Loops<PatchAttentionInput | 'dy', PatchAttentionAttrs> =>
  (inputs, { scale }) => {
    const { q, k, v, dy } = inputs;
    const [H, D] = q!.shape.slice(-2) as [number, number];
    const Dv = v!.shape[v!.shape.length - 1]!;
    const [dq, dk, dv] = [q!, k!, v!].map((t) => hostOutput(t.shape)) as [HostArray, HostArray, HostArray];
    walk(inputs, (query, keys) => {
      for (let h = 0; h < H; h++) {
        const p = weightsOf(q!, k!, query, keys, h, scale);
        const [at, out] = [(query * H + h) * D, (query * H + h) * Dv];
        const dp = keys.map((j, n) => {
          let sum = 0;
          for (let d = 0; d < Dv; d++) {
            sum += dy!.values[out + d]! * v!.values[(j * H + h) * Dv + d]!;
            dv.values[(j * H + h) * Dv + d]! += p[n]! * dy!.values[out + d]!;
          }
          return sum;
        });
        const mean = dp.reduce((a, x, n) => a + p[n]! * x, 0);
        keys.forEach((j, n) => {
          const ds = p[n]! * (dp[n]! - mean) * scale;
          for (let d = 0; d < D; d++) {
            dq.values[at + d]! += ds * k!.values[(j * H + h) * D + d]!;
            dk.values[(j * H + h) * D + d]! += ds * q!.values[at + d]!;
          }
        });
      }
    });
    return [dq, dk, dv];
  };

export const slotAttentionLoops = forward(forSlots);
export const slotAttentionGradLoops = backward(forSlots);
export const poolAttentionLoops = forward(forPatches);
export const poolAttentionGradLoops = backward(forPatches);
