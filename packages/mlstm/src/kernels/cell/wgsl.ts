// Texts of the chunkwise cell's WGSL kernels beside its matrix products. Log weights as in `chunks.ts`.

/** Floats kept of every position and head, by their place in `weights`; a row of document ids (as u32) follows the planes. */
export const PLANE = { u: 0, M: 1, into: 2, out: 3, m: 4 } as const;
export const PLANES = 5;

const NEVER = '-1e30';

/** ln sigmoid(x) without overflow, to full precision where it is small. */
export const LOG_SIGMOID = `
fn logSigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  let series = e * (1.0 - e * (0.5 - e * (0.33333333 - e * (0.25 - e * (0.2 - e * 0.16666667)))));
  return min(x, 0.0) - select(log(1.0 + e), series, e < 0.1);
}
`;

/** Reads `weights`; `position` counts rows and positions together. */
export const WEIGHTS = `
fn plane(which: u32, position: u32, head: u32) -> f32 { return bitcast<f32>(weights[(which * u.positions + position) * u.heads + head]); }
`;

/** `scaled4`: the scaled weights of four positions of a chunk from `at` on in position `to`; 0 before that, behind the sequence and across documents. */
export const scaled = (hasIds: boolean): string => `
${hasIds ? `fn id1(position: u32) -> u32 { return weights[${PLANES}u * u.positions * u.heads + min(position, u.positions - 1u)]; }
fn id4(position: u32) -> vec4u { return vec4u(id1(position), id1(position + 1u), id1(position + 2u), id1(position + 3u)); }` : ''}
fn scaled4(base: u32, start: u32, at: u32, to: u32, head: u32) -> vec4f {
  let end = base + min(start + to, u.length - 1u);
  let p = min(vec4u(base + start + at) + vec4u(0u, 1u, 2u, 3u), vec4u(u.positions - 1u));
  let own = vec4f(plane(${PLANE.u}u, p.x, head), plane(${PLANE.u}u, p.y, head), plane(${PLANE.u}u, p.z, head), plane(${PLANE.u}u, p.w, head));
  let ok = (vec4u(at) + vec4u(0u, 1u, 2u, 3u) <= vec4u(to)) & vec4<bool>(start + to < u.length)${hasIds ? ' & (id4(base + start + at) == vec4u(id1(end)))' : ''};
  return select(vec4f(0.0), exp(min(own - plane(${PLANE.M}u, end, head), vec4f(0.0))), ok);
}
`;

const CHUNK_OF_HEAD = `
  let head = i % u.heads;
  let chunk = i / u.heads % u.chunks;
  let row = i / (u.heads * u.chunks);
  let base = row * u.length;
  let start = chunk * u.size;
  let end = min(start + u.size, u.length);
  let plane_ = u.positions * u.heads;`;

/** Id of the document before position `start` of a row; the initial state belongs to document 0. */
const ID_BEFORE = `var previous = 0;
  if (start > 0u) { previous = ids[base + start - 1u]; }`;

/**
 * A thread walks a chunk of a head: sums b of log forget gates since the document began, u = i − b; and of the whole chunk, `ends`: b, the
 * largest u of the last document, whether that one was there before.
 */
export const sums = (has: (name: string) => boolean): string => `${CHUNK_OF_HEAD}
  let real = ${has('lengths') ? 'u32(lengths[row])' : 'u.length'};
  var b = 0.0;
  var largest = ${NEVER};
  var passes = 1.0;
  ${has('ids') ? ID_BEFORE : ''}
  for (var t = start; t < end; t++) {
    let at = (base + t) * u.heads + head;
    ${has('ids') ? `let id = ids[base + t];
    if (id != previous) { b = 0.0; largest = ${NEVER}; passes = 0.0; }
    previous = id;
    if (head == 0u) { weights[${PLANES}u * plane_ + base + t] = u32(id); }` : ''}
    if (t < real) { b += logSigmoid(forgetGate[at]); }
    let own = select(${NEVER}, inputGate[at] - b, t < real);
    largest = max(largest, own);
    weights[${PLANE.u}u * plane_ + at] = bitcast<u32>(own);
    weights[${PLANE.m}u * plane_ + at] = bitcast<u32>(b);
  }
  ends[i * 3u] = b;
  ends[i * 3u + 1u] = largest;
  ends[i * 3u + 2u] = passes;`;

/** A thread has a head of a row: the stabiliser that enters each chunk, in place of its b. */
export const stabilisers = (has: (name: string) => boolean): string => `
  let head = i % u.heads;
  let row = i / u.heads;
  var m = ${has('initial') ? 'initial[i]' : '0.0'};
  for (var c = 0u; c < u.chunks; c++) {
    let at = ((row * u.chunks + c) * u.heads + head) * 3u;
    let b = ends[at];
    ends[at] = m;
    m = b + max(ends[at + 1u], m * ends[at + 2u]);
  }
  ${has('finalM') ? 'finalM[i] = m;' : ''}`;

/** M, m, and the weights of what enters a chunk and of what is in the state that leaves it. */
export const weigh = (has: (name: string) => boolean): string => `${CHUNK_OF_HEAD}
  let entry = ends[i * 3u];
  var M = entry;
  var fromEntry = true;
  ${has('ids') ? ID_BEFORE : ''}
  for (var t = start; t < end; t++) {
    let at = (base + t) * u.heads + head;
    ${has('ids') ? `let id = ids[base + t];
    if (id != previous) { M = 0.0; fromEntry = false; }
    previous = id;` : ''}
    M = max(M, bitcast<f32>(weights[at]));
    weights[plane_ + at] = bitcast<u32>(M);
    weights[${PLANE.into}u * plane_ + at] = bitcast<u32>(select(0.0, exp(min(entry - M, 0.0)), fromEntry));
    weights[${PLANE.m}u * plane_ + at] = bitcast<u32>(bitcast<f32>(weights[${PLANE.m}u * plane_ + at]) + M);
  }
  for (var t = start; t < end; t++) {
    let at = (base + t) * u.heads + head;
    let out = exp(min(bitcast<f32>(weights[at]) - M, 0.0));
    weights[${PLANE.out}u * plane_ + at] = bitcast<u32>(${has('ids') ? 'select(0.0, out, ids[base + t] == previous)' : 'out'});
  }`;

/** A value of a state through all chunks: what a chunk adds becomes what enters it; backwards, the gradient of what leaves it. */
export const carry = (reverse: boolean, has: (name: string) => boolean): string => `
  let e = i % u.width;
  let row = i / u.width;
  let head = row % u.heads;
  let b = row / u.heads;
  var s = ${has('initial') ? 'initial[i]' : '0.0'};
  for (var c = 0u; c < u.chunks; c++) {
    let chunk = ${reverse ? 'u.chunks - 1u - c' : 'c'};
    let last = b * u.length + min(chunk * u.size + u.size, u.length) - 1u;
    let at = ((b * u.chunks + chunk) * u.heads + head) * u.width + e;
    let own = states[at];
    states[at] = s;
    s = plane(${PLANE.into}u, last, head) * s + own;
  }
  ${has('finalState') ? 'finalState[i] = s;' : ''}`;

/** What each chunk adds to n: Σ weighed keys. */
export const normalizers = `
  let k = i % u.keyDim;
  let head = i / u.keyDim % u.heads;
  let chunkRow = i / (u.keyDim * u.heads);
  let base = chunkRow / u.chunks * u.length;
  let start = chunkRow % u.chunks * u.size;
  var sum = 0.0;
  for (var t = start; t < min(start + u.size, u.length); t++) {
    sum += plane(${PLANE.out}u, base + t, head) * keys[((base + t) * u.heads + head) * u.keyDim + k];
  }
  states[i] = sum;`;

/** q.n and the denominator of every position and head, 16 threads to each: two planes of `dens`. */
export const denominators = (hasEntry: boolean): string => `
  let lane = local % 16u;
  let isReal = g * 4u + local / 16u < u.positions * u.heads;
  let at = min(g * 4u + local / 16u, u.positions * u.heads - 1u);
  let head = at % u.heads;
  let position = at / u.heads;
  let t = position % u.length;
  let chunkRow = position / u.length * u.chunks + t / u.size;
  let batch = chunkRow * u.heads + head;
  let within = t % u.size;
  var own = 0.0;
  for (var s = lane; s <= within; s += 16u) { own += scores[(batch * u.size + within) * u.size + s]; }
  ${hasEntry ? `var entered = 0.0;
  for (var k = lane; k < u.keyDim; k += 16u) { entered += q[at * u.keyDim + k] * entry[batch * u.keyDim + k]; }
  own += entered * plane(${PLANE.into}u, position, head) * u.scale;` : ''}
  let qn = sum16(own, local);
  if (lane == 0u && isReal) {
    dens[at] = qn;
    dens[u.positions * u.heads + at] = max(abs(qn), exp(-plane(${PLANE.m}u, position, head))) + u.eps;
  }`;
