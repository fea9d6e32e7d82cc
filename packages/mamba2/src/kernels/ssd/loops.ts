import { hostOutput, type HostArray, type Loops } from '@bytelm/core';
import { ssdGradOutputs, ssdSizes, type SsdAttrs, type SsdGradInput, type SsdInput, type SsdSizes } from './attrs.js';

// The recurrence as plain loops, states in double precision: the kernel of the `cpu` backend.

type Inputs = { [K in SsdInput]?: HostArray };

/** Positions between two stored states of the backward pass. */
const STORE_EVERY = 64;

/** One head of one batch row: its offsets, step sizes and decays. */
interface Head {
  b: number;
  h: number;
  /** delta_t, and exp(delta_t A), which is 0 where a document starts. */
  delta: Float64Array;
  decay: Float64Array;
  /** Index of x[b, t, h, 0], of B[b, t, g, 0]. */
  x: (t: number) => number;
  B: (t: number) => number;
}

const softplus = (v: number): number => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));

function* eachHead(i: Inputs, attrs: SsdAttrs, { batch, length, heads, headDim, groups, state }: SsdSizes): Generator<Head> {
  for (let b = 0; b < batch; b++) {
    const real = i.lengths ? i.lengths.values[b]! : length;
    for (let h = 0; h < heads; h++) {
      const delta = new Float64Array(length);
      const decay = new Float64Array(length);
      const group = Math.floor(h / (heads / groups));
      let previousId = 0;
      for (let t = 0; t < length; t++) {
        const raw = i.dt!.values[(b * length + t) * heads + h]! + (i.dtBias?.values[h] ?? 0);
        const d = attrs.dtSoftplus ? softplus(raw) : raw;
        const limited = attrs.dtMin > 0 || attrs.dtMax < Infinity ? Math.min(Math.max(d, attrs.dtMin), attrs.dtMax) : d;
        delta[t] = t < real ? limited : 0;
        const id = i.documentIds ? i.documentIds.values[b * length + t]! : previousId;
        decay[t] = id === previousId ? Math.exp(delta[t]! * i.A!.values[h]!) : 0;
        previousId = id;
      }
      yield {
        b, h, delta, decay,
        x: (t) => ((b * length + t) * heads + h) * headDim,
        B: (t) => ((b * length + t) * groups + group) * state,
      };
    }
  }
}

/** S = decay S + delta x B^T at position t. */
function advance(S: Float64Array, head: Head, t: number, i: Inputs, P: number, N: number): void {
  const [x, B] = [i.x!.values, i.B!.values];
  const [xt, Bt, decay, delta] = [head.x(t), head.B(t), head.decay[t]!, head.delta[t]!];
  for (let p = 0, s = 0; p < P; p++) {
    const u = delta * x[xt + p]!;
    for (let n = 0; n < N; n++, s++) S[s] = decay * S[s]! + u * B[Bt + n]!;
  }
}

const initialState = (i: Inputs, { b, h }: Head, heads: number, size: number): Float64Array =>
  i.initialState ? Float64Array.from(i.initialState.values.subarray((b * heads + h) * size, (b * heads + h + 1) * size)) : new Float64Array(size);

/** D of channel p of head h. */
const skipOf = (D: HostArray | undefined, h: number, p: number, P: number): number => (!D ? 0 : D.values[D.shape.length === 1 ? h : h * P + p]!);

export const ssdLoops: Loops<SsdInput, SsdAttrs> = (i, attrs) => {
  const sizes = ssdSizes(i.x!, i.B!);
  const { batch, length, heads, headDim: P, state: N } = sizes;
  const y = hostOutput(i.x!.shape);
  const final = hostOutput([batch, heads, P, N]);
  const [x, C] = [i.x!.values, i.C!.values];
  for (const head of eachHead(i, attrs, sizes)) {
    const S = initialState(i, head, heads, P * N);
    for (let t = 0; t < length; t++) {
      advance(S, head, t, i, P, N);
      const [xt, Ct] = [head.x(t), head.B(t)];
      for (let p = 0, s = 0; p < P; p++) {
        let sum = skipOf(i.D, head.h, p, P) * x[xt + p]!;
        for (let n = 0; n < N; n++, s++) sum += S[s]! * C[Ct + n]!;
        y.values[xt + p] = sum;
      }
    }
    final.values.set(S, (head.b * heads + head.h) * P * N);
  }
  return attrs.returnFinalState ? [y, final] : [y];
};

/** d delta / d dt: 0 at padding and outside the limits. */
function stepSlope(i: Inputs, attrs: SsdAttrs, position: number, h: number, isReal: boolean): number {
  if (!isReal) return 0;
  const raw = i.dt!.values[position]! + (i.dtBias?.values[h] ?? 0);
  const d = attrs.dtSoftplus ? softplus(raw) : raw;
  if ((attrs.dtMin > 0 || attrs.dtMax < Infinity) && (d < attrs.dtMin || d > attrs.dtMax)) return 0;
  return attrs.dtSoftplus ? 1 / (1 + Math.exp(-raw)) : 1;
}

export const ssdGradLoops: Loops<SsdGradInput, SsdAttrs> = (i, attrs) => {
  const sizes = ssdSizes(i.x!, i.B!);
  const { length, heads, headDim: P, state: N } = sizes;
  const names = ssdGradOutputs((n) => i[n] !== undefined);
  const grads = Object.fromEntries(names.map((n) => [n, hostOutput(i[n]!.shape)])) as Record<SsdInput, ReturnType<typeof hostOutput>>;
  const out = (n: SsdInput) => grads[n]?.values;
  const [x, B, C, dy] = [i.x!.values, i.B!.values, i.C!.values, i.dy!.values];
  const [dx, dDt, dA, dB, dC, dD, dBias] = (['x', 'dt', 'A', 'B', 'C', 'D', 'dtBias'] as const).map(out) as Float32Array[];
  for (const head of eachHead(i, attrs, sizes)) {
    const { b, h, delta, decay } = head;
    const real = i.lengths ? i.lengths.values[b]! : length;
    const A = i.A!.values[h]!;
    // States before every STORE_EVERY-th position; those in between are computed again, block by block.
    const stored: Float64Array[] = [];
    const S = initialState(i, head, heads, P * N);
    for (let t = 0; t < length; t++) {
      if (t % STORE_EVERY === 0) stored.push(S.slice());
      advance(S, head, t, i, P, N);
    }
    const offset = (b * heads + h) * P * N;
    const dS = i.dState ? Float64Array.from(i.dState.values.subarray(offset, offset + P * N)) : new Float64Array(P * N);
    for (let block = stored.length - 1; block >= 0; block--) {
      const t0 = block * STORE_EVERY;
      const states = [stored[block]!];
      for (let t = t0; t < Math.min(t0 + STORE_EVERY, length); t++) {
        const next = states.at(-1)!.slice();
        advance(next, head, t, i, P, N);
        states.push(next);
      }
      for (let t = t0 + states.length - 2; t >= t0; t--) {
        const [before, after] = [states[t - t0]!, states[t - t0 + 1]!];
        const [xt, Bt] = [head.x(t), head.B(t)];
        let dDecay = 0;
        let dDelta = 0;
        for (let p = 0, s = 0; p < P; p++) {
          const [g, u] = [dy[xt + p]!, delta[t]! * x[xt + p]!];
          let du = 0;
          for (let n = 0; n < N; n++, s++) {
            const d = dS[s]! + g * C[Bt + n]!;
            dC[Bt + n]! += g * after[s]!;
            dB[Bt + n]! += d * u;
            du += d * B[Bt + n]!;
            dDecay += d * before[s]!;
            dS[s] = decay[t]! * d;
          }
          dDelta += x[xt + p]! * du;
          dx[xt + p] = delta[t]! * du + skipOf(i.D, h, p, P) * g;
          if (dD) dD[i.D!.shape.length === 1 ? h : h * P + p]! += g * x[xt + p]!;
        }
        const da = dDecay * decay[t]!;
        dA[h]! += delta[t]! * da;
        const position = (b * length + t) * heads + h;
        dDt[position] = (dDelta + A * da) * stepSlope(i, attrs, position, h, t < real);
        if (dBias) dBias[h]! += dDt[position]!;
      }
    }
    out('initialState')?.set(dS, offset);
  }
  return names.map((n) => grads[n]);
};
