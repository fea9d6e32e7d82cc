import { hostOutput, type HostArray, type Loops } from '@bytelm/core';
import { cellGradOutputs, cellSizes, type CellAttrs, type CellGradInput, type CellInput, type CellSizes } from './attrs.js';

// The recurrence as plain loops, states in double precision: the kernel of the `cpu` backend.

type Inputs = { [K in CellInput]?: HostArray };

/** Positions between two stored states of the backward pass. */
const STORE_EVERY = 64;

/** One head of one batch row: its offsets, and what the gates alone decide. */
interface Head {
  b: number;
  h: number;
  /** Index of q[b, t, h, 0], v[b, t, h, 0] and of the gates. */
  q: (t: number) => number;
  v: (t: number) => number;
  gate: (t: number) => number;
  m: Float64Array;
  /** Factors of the state before (0 where a document starts) and of k vᵀ. */
  keep: Float64Array;
  enter: Float64Array;
  /** 1 where the forget gate made m, and 1 where the stabiliser before it is not that of another document. */
  isKept: Uint8Array;
  continues: Uint8Array;
}

interface State {
  C: Float64Array;
  n: Float64Array;
}

const logSigmoid = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

function* eachHead(i: Inputs, { batch, length, heads, keyDim, valueDim }: CellSizes): Generator<Head> {
  for (let b = 0; b < batch; b++) {
    const real = i.lengths ? i.lengths.values[b]! : length;
    for (let h = 0; h < heads; h++) {
      const head: Head = {
        b, h,
        q: (t) => ((b * length + t) * heads + h) * keyDim,
        v: (t) => ((b * length + t) * heads + h) * valueDim,
        gate: (t) => (b * length + t) * heads + h,
        m: new Float64Array(length), keep: new Float64Array(length), enter: new Float64Array(length),
        isKept: new Uint8Array(length), continues: new Uint8Array(length),
      };
      let m = i.m ? i.m.values[b * heads + h]! : 0;
      let previousId = 0;
      for (let t = 0; t < length; t++) {
        const id = i.documentIds ? i.documentIds.values[b * length + t]! : previousId;
        const continues = id === previousId;
        previousId = id;
        if (!continues) m = 0;
        const isReal = t < real;
        const kept = m + (isReal ? logSigmoid(i.forgetGate!.values[head.gate(t)]!) : 0);
        const input = isReal ? i.inputGate!.values[head.gate(t)]! : -Infinity;
        m = Math.max(kept, input);
        head.m[t] = m;
        head.keep[t] = continues ? Math.exp(kept - m) : 0;
        head.enter[t] = Math.exp(input - m);
        head.isKept[t] = Number(kept >= input);
        head.continues[t] = Number(continues);
      }
      yield head;
    }
  }
}

function initialState(i: Inputs, { b, h }: Head, { heads, keyDim: K, valueDim: V }: CellSizes): State {
  const part = (t: HostArray | undefined, size: number) =>
    t ? Float64Array.from(t.values.subarray((b * heads + h) * size, (b * heads + h + 1) * size)) : new Float64Array(size);
  return { C: part(i.C, K * V), n: part(i.n, K) };
}

/** C = keep C + enter k vᵀ, n alike, at position t. */
function advance({ C, n }: State, head: Head, t: number, i: Inputs, K: number, V: number): void {
  const [k, v] = [i.k!.values, i.v!.values];
  const [kt, vt, keep, enter] = [head.q(t), head.v(t), head.keep[t]!, head.enter[t]!];
  for (let x = 0, s = 0; x < K; x++) {
    const u = enter * k[kt + x]!;
    n[x] = keep * n[x]! + u;
    for (let y = 0; y < V; y++, s++) C[s] = keep * C[s]! + u * v[vt + y]!;
  }
}

/** q.n, scaled, and the denominator. */
function read({ n }: State, head: Head, t: number, i: Inputs, K: number, eps: number) {
  const scale = 1 / Math.sqrt(K);
  let qn = 0;
  for (let x = 0; x < K; x++) qn += i.q!.values[head.q(t) + x]! * scale * n[x]!;
  const floor = Math.exp(-head.m[t]!);
  return { qn, floor, scale, den: Math.max(Math.abs(qn), floor) + eps };
}

export const cellLoops: Loops<CellInput, CellAttrs> = (i, attrs) => {
  const sizes = cellSizes(i.q!, i.v!);
  const { batch, length, heads, keyDim: K, valueDim: V } = sizes;
  const h = hostOutput(i.v!.shape);
  const [C, n, m] = [hostOutput([batch, heads, K, V]), hostOutput([batch, heads, K]), hostOutput([batch, heads])];
  const q = i.q!.values;
  for (const head of eachHead(i, sizes)) {
    const state = initialState(i, head, sizes);
    const sums = new Float64Array(V);
    for (let t = 0; t < length; t++) {
      advance(state, head, t, i, K, V);
      const { scale, den } = read(state, head, t, i, K, attrs.eps);
      sums.fill(0);
      for (let x = 0, s = 0; x < K; x++) for (let y = 0, f = q[head.q(t) + x]! * scale; y < V; y++, s++) sums[y]! += f * state.C[s]!;
      for (let y = 0; y < V; y++) h.values[head.v(t) + y] = sums[y]! / den;
    }
    const at = head.b * heads + head.h;
    C.values.set(state.C, at * K * V);
    n.values.set(state.n, at * K);
    m.values[at] = head.m[length - 1]!;
  }
  return attrs.returnFinalState ? [h, C, n, m] : [h];
};

export const cellGradLoops: Loops<CellGradInput, CellAttrs> = (i, attrs) => {
  const sizes = cellSizes(i.q!, i.v!);
  const { length, heads, keyDim: K, valueDim: V } = sizes;
  const names = cellGradOutputs((x) => i[x] !== undefined);
  const grads = Object.fromEntries(names.map((x) => [x, hostOutput(i[x]!.shape)])) as Record<CellInput, ReturnType<typeof hostOutput>>;
  const out = (x: CellInput) => grads[x]?.values;
  const [dq, dk, dv, dInput, dForget] = (['q', 'k', 'v', 'inputGate', 'forgetGate'] as const).map(out) as Float32Array[];
  const [q, k, v, h, dh] = [i.q!.values, i.k!.values, i.v!.values, i.h!.values, i.dh!.values];
  const isTrue = !attrs.publishedGradient;
  for (const head of eachHead(i, sizes)) {
    const at = head.b * heads + head.h;
    const real = i.lengths ? i.lengths.values[head.b]! : length;
    // States before every STORE_EVERY-th position; those in between are computed again, block by block.
    const stored: State[] = [];
    const copy = ({ C, n }: State): State => ({ C: C.slice(), n: n.slice() });
    const last = initialState(i, head, sizes);
    for (let t = 0; t < length; t++) {
      if (t % STORE_EVERY === 0) stored.push(copy(last));
      advance(last, head, t, i, K, V);
    }
    const part = (t: HostArray | undefined, size: number) => (t ? Float64Array.from(t.values.subarray(at * size, (at + 1) * size)) : new Float64Array(size));
    const [dC, dn] = [part(i.dC, K * V), part(i.dn, K)];
    // Gradient of the stabiliser. The final state is scaled by e^-m.
    let dm = 0;
    if (isTrue && i.dm) {
      dm = i.dm.values[at]!;
      for (let s = 0; s < K * V; s++) dm -= dC[s]! * last.C[s]!;
      for (let x = 0; x < K; x++) dm -= dn[x]! * last.n[x]!;
    }
    for (let block = stored.length - 1; block >= 0; block--) {
      const t0 = block * STORE_EVERY;
      const states = [stored[block]!];
      for (let t = t0; t < Math.min(t0 + STORE_EVERY, length); t++) {
        const next = copy(states.at(-1)!);
        advance(next, head, t, i, K, V);
        states.push(next);
      }
      for (let t = t0 + states.length - 2; t >= t0; t--) {
        const [before, after] = [states[t - t0]!, states[t - t0 + 1]!];
        const [qt, vt] = [head.q(t), head.v(t)];
        const { qn, floor, scale, den } = read(after, head, t, i, K, attrs.eps);
        let pull = 0;
        if (isTrue) for (let y = 0; y < V; y++) pull += (dh[vt + y]! * h[vt + y]!) / den;
        const dqn = Math.abs(qn) > floor ? -pull * Math.sign(qn) : 0;
        let dKeep = 0;
        let dEnter = 0;
        for (let x = 0, s = 0; x < K; x++) {
          const f = q[qt + x]! * scale;
          let toQ = dqn * after.n[x]!;
          dn[x]! += dqn * f;
          let toK = dn[x]!;
          dKeep += dn[x]! * before.n[x]!;
          for (let y = 0; y < V; y++, s++) {
            const d = dh[vt + y]! / den;
            toQ += d * after.C[s]!;
            dC[s]! += d * f;
            toK += dC[s]! * v[vt + y]!;
            dKeep += dC[s]! * before.C[s]!;
            dv[vt + y]! += head.enter[t]! * k[qt + x]! * dC[s]!;
            dC[s]! *= head.keep[t]!;
          }
          dn[x]! *= head.keep[t]!;
          dq[qt + x] = toQ * scale;
          dk[qt + x] = head.enter[t]! * toK;
          dEnter += k[qt + x]! * toK;
        }
        dm -= attrs.eps * pull;
        const gate = head.gate(t);
        if (t < real) {
          dInput[gate] = dEnter * head.enter[t]! + (head.isKept[t] ? 0 : dm);
          dForget[gate] = (dKeep * head.keep[t]! + (head.isKept[t] ? dm : 0)) / (1 + Math.exp(i.forgetGate!.values[gate]!));
        }
        if (!head.isKept[t] || !head.continues[t]) dm = 0;
      }
    }
    out('C')?.set(dC, at * K * V);
    out('n')?.set(dn, at * K);
    if (i.m && isTrue) {
      // The initial state was scaled by e^-m.
      const first = initialState(i, head, sizes);
      for (let s = 0; s < K * V; s++) dm += dC[s]! * first.C[s]!;
      for (let x = 0; x < K; x++) dm += dn[x]! * first.n[x]!;
      out('m')![at] = dm;
    }
  }
  return names.map((x) => grads[x]);
};
