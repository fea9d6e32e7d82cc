// Texts of the scan's WGSL kernels beside its matrix products.

/** Floats kept of every position and head, by their place in `steps`; a row of document ids (as u32) follows the planes. */
export const PLANE = { delta: 0, sum: 1, into: 2, out: 3, slope: 4 } as const;
export const PLANES = 5;

/** Reads `steps`; `position` counts rows and positions together. */
export const STEPS = `
fn plane(which: u32, position: u32, head: u32) -> f32 { return bitcast<f32>(steps[(which * u.positions + position) * u.heads + head]); }
`;

/**
 * `remains`: what is left at position `to` of a chunk of what entered at position `at`; 0 before that, behind the sequence and in another document.
 * `remainsFrom4` of four positions from `at` on, `remainsTo4` at four from `to` on.
 */
export const decays = (hasIds: boolean): string => `
fn sum4(position: u32, head: u32) -> vec4f {
  let p = min(vec4u(position) + vec4u(0u, 1u, 2u, 3u), vec4u(u.positions - 1u));
  return vec4f(plane(${PLANE.sum}u, p.x, head), plane(${PLANE.sum}u, p.y, head), plane(${PLANE.sum}u, p.z, head), plane(${PLANE.sum}u, p.w, head));
}
${hasIds ? `fn id1(position: u32) -> u32 { return steps[${PLANES}u * u.positions * u.heads + min(position, u.positions - 1u)]; }
fn id4(position: u32) -> vec4u { return vec4u(id1(position), id1(position + 1u), id1(position + 2u), id1(position + 3u)); }` : ''}
fn remainsFrom4(base: u32, start: u32, at: u32, to: u32, head: u32) -> vec4f {
  let end = base + min(start + to, u.length - 1u);
  let ok = (vec4u(at) + vec4u(0u, 1u, 2u, 3u) <= vec4u(to)) & vec4<bool>(start + to < u.length)${hasIds ? ' & (id4(base + start + at) == vec4u(id1(end)))' : ''};
  return select(vec4f(0.0), exp(min(plane(${PLANE.sum}u, end, head) - sum4(base + start + at, head), vec4f(0.0))), ok);
}
fn remainsTo4(base: u32, start: u32, at: u32, to: u32, head: u32) -> vec4f {
  let begin = base + min(start + at, u.length - 1u);
  let four = vec4u(to) + vec4u(0u, 1u, 2u, 3u);
  let ok = (vec4u(at) <= four) & (vec4u(start) + four < vec4u(u.length))${hasIds ? ' & (id4(base + start + to) == vec4u(id1(begin)))' : ''};
  return select(vec4f(0.0), exp(min(sum4(base + start + to, head) - plane(${PLANE.sum}u, begin, head), vec4f(0.0))), ok);
}
fn remains(base: u32, start: u32, at: u32, to: u32, head: u32) -> f32 {
  let begin = base + min(start + at, u.length - 1u);
  let end = base + min(start + to, u.length - 1u);
  let ok = at <= to && start + to < u.length${hasIds ? ' && id1(begin) == id1(end)' : ''};
  return select(0.0, exp(min(plane(${PLANE.sum}u, end, head) - plane(${PLANE.sum}u, begin, head), 0.0)), ok);
}
`;

/** ln(1 + e^v) without overflow, to full precision where it is small. */
export const SOFTPLUS = `
fn softplus(v: f32) -> f32 {
  let e = exp(-abs(v));
  let series = e * (1.0 - e * (0.5 - e * (0.33333333 - e * (0.25 - e * (0.2 - e * 0.16666667)))));
  return max(v, 0.0) + select(log(1.0 + e), series, e < 0.1);
}
`;

const CHUNK_OF_HEAD = `
  let head = i % u.heads;
  let chunk = i / u.heads % u.chunks;
  let base = i / (u.heads * u.chunks) * u.length;
  let start = chunk * u.size;
  let end = min(start + u.size, u.length);
  let plane_ = u.positions * u.heads;`;

/** A thread walks a chunk of a head: step sizes, the sums of their log decays, and the decays from the chunk's entry and to its end. */
export const prepare = (softplus: boolean, withSlope: boolean, has: (name: string) => boolean): string => `${CHUNK_OF_HEAD}
  let real = ${has('lengths') ? `u32(lengths[i / (u.heads * u.chunks)])` : 'u.length'};
  var sum = 0.0;
  for (var t = start; t < end; t++) {
    let at = (base + t) * u.heads + head;
    let raw = dt[at]${has('dtBias') ? ' + dtBias[head]' : ''};
    let free = ${softplus ? 'softplus(raw)' : 'raw'};
    let delta = select(0.0, clamp(free, u.low, u.high), t < real);
    sum += delta * A[head];
    steps[at] = bitcast<u32>(delta);
    steps[plane_ + at] = bitcast<u32>(sum);
    ${withSlope ? `let slope = ${softplus ? 'select(exp(min(raw, 0.0)), 1.0, raw >= 0.0) / (1.0 + exp(-abs(raw)))' : '1.0'};
    steps[${PLANE.slope}u * plane_ + at] = bitcast<u32>(select(0.0, slope, t < real && free >= u.low && free <= u.high));` : ''}
  }
  ${has('ids') ? `var before = 0;
  if (start > 0u) { before = ids[base + start - 1u]; }
  let last = ids[base + end - 1u];` : ''}
  for (var t = start; t < end; t++) {
    let at = (base + t) * u.heads + head;
    let own = bitcast<f32>(steps[plane_ + at]);
    steps[${PLANE.into}u * plane_ + at] = bitcast<u32>(${has('ids') ? 'select(0.0, exp(own), ids[base + t] == before)' : 'exp(own)'});
    steps[${PLANE.out}u * plane_ + at] = bitcast<u32>(${has('ids') ? 'select(0.0, exp(min(sum - own, 0.0)), ids[base + t] == last)' : 'exp(min(sum - own, 0.0))'});
    ${has('ids') ? `if (head == 0u) { steps[${PLANES}u * plane_ + base + t] = u32(ids[base + t]); }` : ''}
  }`;

/**
 * A value of a state (N, P) through all chunks: what a chunk adds becomes what enters it; backwards, the gradient of what leaves it. The decay
 * across a chunk is that from its entry to its last position.
 */
export const carry = (reverse: boolean, has: (name: string) => boolean): string => `
  let p = i % u.headDim;
  let n = i / u.headDim % u.state;
  let row = i / (u.headDim * u.state);
  let head = row % u.heads;
  let b = row / u.heads;
  let outside = (row * u.headDim + p) * u.state + n;
  var s = ${has('initial') ? 'initial[outside]' : '0.0'};
  for (var c = 0u; c < u.chunks; c++) {
    let chunk = ${reverse ? 'u.chunks - 1u - c' : 'c'};
    let last = b * u.length + min(chunk * u.size + u.size, u.length) - 1u;
    let at = (((b * u.chunks + chunk) * u.heads + head) * u.state + n) * u.headDim + p;
    let own = states[at];
    states[at] = s;
    s = plane(${PLANE.into}u, last, head) * s + own;
  }
  ${has('finalState') ? 'finalState[outside] = s;' : ''}`;

/** Rows of P values, 16 threads to each; `sum16` adds up what they have. */
const ROW = `
  let lane = local % 16u;
  let row = min(g * 4u + local / 16u, u.positions * u.heads - 1u);
  let isReal = g * 4u + local / 16u < u.positions * u.heads;`;

/** <x, y> of every row, times the step size where `weighted`, to a plane of `rows`. */
export const dots = (weighted: boolean): string => `${ROW}
  var own = 0.0;
  for (var p = lane; p < u.headDim; p += 16u) { own += x[row * u.headDim + p] * y[row * u.headDim + p]; }
  let sum = sum16(own, local);
  if (lane == 0u && isReal) { rows[u.plane * u.positions * u.heads + row] = sum${weighted ? ' * bitcast<f32>(steps[row])' : ''}; }`;

/** dx = delta du + D dy; <x, du> to its plane of `rows`. */
export const inputGradient = (skip: 'none' | 'head' | 'channel'): string => `${ROW}
  let delta = bitcast<f32>(steps[row]);
  let head = row % u.heads;
  var own = 0.0;
  for (var p = lane; p < u.headDim; p += 16u) {
    let at = row * u.headDim + p;
    own += x[at] * du[at];
    if (isReal) { dx[at] = delta * du[at]${skip === 'none' ? '' : ` + D[${skip === 'head' ? 'head' : 'head * u.headDim + p'}] * dy[at]`}; }
  }
  let sum = sum16(own, local);
  if (lane == 0u && isReal) { rows[2u * u.positions * u.heads + row] = sum; }`;

/** (chunks, H, Q, Q) summed over the heads of a group; zeros above the diagonal, which no tile wrote. */
export const SUM_HEADS = `
  let j = i % u.size;
  let t = i / u.size % u.size;
  let group_ = i / (u.size * u.size);
  var sum = 0.0;
  if (j <= t) {
    let within = t * u.size + j;
    for (var h = 0u; h < u.perGroup; h++) { sum += pairs[(group_ * u.perGroup + h) * u.size * u.size + within]; }
  }
  shared_[i] = sum;`;

/**
 * Everything that decays across position i of a chunk: pairs (at, to) with at < i <= to. Sums along rows first, in place of the pairs, then down the
 * columns; differences of larger sums would cancel.
 */
export const PAIRS_ACROSS = `
  let head = g % u.heads;
  let chunkRow = g / u.heads;
  let start = chunkRow % u.chunks * u.size;
  let base = chunkRow / u.chunks * u.length;
  let own = g * u.size * u.size;
  let gramOf = (chunkRow * u.groups + head / u.perGroup) * u.size * u.size;
  if (local < u.size && start + local < u.length) {
    var sum = 0.0;
    for (var j = 0u; j <= local; j++) {
      let at = local * u.size + j;
      let value = pairs[own + at] * gram[gramOf + at];
      pairs[own + at] = sum;
      sum += value;
    }
  }
  storageBarrier();
  if (local < u.size && start + local < u.length) {
    var sum = 0.0;
    for (var t = local; t < min(u.size, u.length - start); t++) { sum += pairs[own + t * u.size + local]; }
    across[(base + start + local) * u.heads + head] = sum;
  }`;

/** <entering state, gradient of the leaving one> of a chunk and head, times the decay across it. */
export const STATES_ACROSS = `
  let head = g % u.heads;
  let chunkRow = g / u.heads;
  let last = chunkRow / u.chunks * u.length + min(chunkRow % u.chunks * u.size + u.size, u.length) - 1u;
  let n = u.headDim * u.state;
  var own = 0.0;
  for (var j = local; j < n; j += 64u) { own += entry[g * n + j] * exit[g * n + j]; }
  let sum = sum64(own, local);
  if (local == 0u) { through[g] = sum * plane(${PLANE.into}u, last, head); }`;

/** Gradients of log decays and step sizes along a chunk of a head, and the chunk's part of those of A and the bias. */
export const stepGradient = (enters: boolean, leaves: boolean, has: (name: string) => boolean): string => `${CHUNK_OF_HEAD}
  let passing = ${has('through') ? 'through[i]' : '0.0'};
  var entered = 0.0;
  for (var n = start; n < end; n++) {
    let at = (base + start + end - 1u - n) * u.heads + head;
    ${enters ? 'entered += rows[at];' : ''}
    across[at] += entered + passing;
  }
  var left = 0.0;
  var dA = 0.0;
  var dBias = 0.0;
  for (var t = start; t < end; t++) {
    let at = (base + t) * u.heads + head;
    let da = across[at] + left;
    ${leaves ? 'left += rows[plane_ + at];' : ''}
    dA += bitcast<f32>(steps[at]) * da;
    let d = (rows[2u * plane_ + at] + A[head] * da) * bitcast<f32>(steps[${PLANE.slope}u * plane_ + at]);
    dDt[at] = d;
    dBias += d;
  }
  let slot = i / u.heads * 2u * u.heads + head;
  parts[slot] = dA;
  parts[slot + u.heads] = dBias;`;

/** Products of x and dy summed over a block of positions. */
export const SKIP_PARTS = `
  let c = i % u.width;
  let first = i / u.width * u.steps;
  var sum = 0.0;
  for (var t = first; t < min(first + u.steps, u.positions); t++) { sum += x[t * u.width + c] * dy[t * u.width + c]; }
  parts[i] = sum;`;

/** Sum over rows of `stride` values, `inner` of them side by side, from `offset` on. */
export const COLUMN_SUMS = `
  var sum = 0.0;
  for (var r = 0u; r < u.rows; r++) {
    for (var j = 0u; j < u.inner; j++) { sum += parts[r * u.stride + u.offset + i * u.inner + j]; }
  }
  total[i] = sum;`;
