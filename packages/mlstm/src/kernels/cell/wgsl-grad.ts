import { PLANE, PLANES } from './wgsl.js';

// Texts of the backward kernels beside the matrix products; the derivation is that of `cellGradPortable`.

const ROW = `
  let lane = local % 16u;
  let isReal = g * 4u + local / 16u < u.positions * u.heads;
  let row = min(g * 4u + local / 16u, u.positions * u.heads - 1u);
  let plane_ = u.positions * u.heads;`;

/** `pulls`: what the denominator gets, and of that q.n, where it counts. `truth` 0 takes the denominator for a constant. */
export const pulls = `${ROW}
  var own = 0.0;
  for (var v = lane; v < u.valueDim; v += 16u) { own += dh[row * u.valueDim + v] * h[row * u.valueDim + v]; }
  let pull = u.truth * sum16(own, local) / dens[plane_ + row];
  if (lane == 0u && isReal) {
    let qn = dens[row];
    let floor_ = exp(-plane(${PLANE.m}u, row / u.heads, row % u.heads));
    pulls[row] = pull;
    pulls[plane_ + row] = select(0.0, -pull * sign(qn), abs(qn) > floor_);
  }`;

/** <x, y> of every row of K values, times `scale`, to a plane of `rows`. */
export const dots = `${ROW}
  var own = 0.0;
  for (var k = lane; k < u.keyDim; k += 16u) { own += x[row * u.keyDim + k] * y[row * u.keyDim + k]; }
  let sum = sum16(own, local) * u.scale;
  if (lane == 0u && isReal) { rows[u.plane * plane_ + row] = sum; }`;

/** What each chunk adds to the gradient of n. */
export const normalizerGradients = `
  let k = i % u.keyDim;
  let head = i / u.keyDim % u.heads;
  let chunkRow = i / (u.keyDim * u.heads);
  let base = chunkRow / u.chunks * u.length;
  let start = chunkRow % u.chunks * u.size;
  var sum = 0.0;
  for (var t = start; t < min(start + u.size, u.length); t++) {
    let row = (base + t) * u.heads + head;
    sum += plane(${PLANE.into}u, base + t, head) * u.scale * q[row * u.keyDim + k] * pulls[u.positions * u.heads + row];
  }
  states[i] = sum;`;

/** `base` + `sign` (<a, b> + <c, d>), `wide` and `narrow` values to a workgroup. */
export const stateDots = (hasBase: boolean): string => `
  var own = 0.0;
  for (var j = local; j < u.wide; j += 64u) { own += a[g * u.wide + j] * b[g * u.wide + j]; }
  for (var j = local; j < u.narrow; j += 64u) { own += c[g * u.narrow + j] * d[g * u.narrow + j]; }
  let sum = sum64(own, local);
  if (local == 0u) { y[g] = ${hasBase ? 'base[g] + ' : ''}u.sign * sum; }`;

/**
 * `sums`: of what decays across each position of a chunk, and of what each position enters. Sums along rows in place of the pairs, then down the
 * columns; differences of larger sums would cancel.
 */
export const pairsAcross = `
  let head = g % u.heads;
  let chunkRow = g / u.heads;
  let start = chunkRow % u.chunks * u.size;
  let base = chunkRow / u.chunks * u.length;
  let own = g * u.size * u.size;
  let end = min(u.size, u.length - start);
  let at = (base + start + local) * u.heads + head;
  if (local < end) {
    var sum = 0.0;
    for (var t = local; t < end; t++) { sum += pairs[own + t * u.size + local] * scores[own + t * u.size + local]; }
    sums[u.positions * u.heads + at] = sum;
  }
  storageBarrier();
  if (local < end) {
    var sum = 0.0;
    for (var s = 0u; s <= local; s++) {
      let pair = own + local * u.size + s;
      let value = pairs[pair] * scores[pair];
      pairs[pair] = sum;
      sum += value;
    }
  }
  storageBarrier();
  if (local < end) {
    var sum = 0.0;
    for (var t = local; t < end; t++) { sum += pairs[own + t * u.size + local]; }
    sums[at] = sum;
  }`;

/** Adds what goes through the states, along a chunk of a head. */
export const throughStates = (enters: boolean, leaves: boolean, has: (name: string) => boolean): string => `
  let head = i % u.heads;
  let chunk = i / u.heads % u.chunks;
  let base = i / (u.heads * u.chunks) * u.length;
  let start = chunk * u.size;
  let end = min(start + u.size, u.length);
  let plane_ = u.positions * u.heads;
  ${has('through') ? `let passing = through[i] * plane(${PLANE.into}u, base + end - 1u, head);` : 'let passing = 0.0;'}
  var entered = 0.0;
  for (var n = start; n < end; n++) {
    let at = (base + start + end - 1u - n) * u.heads + head;
    ${enters ? 'entered += rows[at];' : ''}
    sums[at] += entered + passing;
  }
  ${leaves ? `var left = 0.0;
  for (var t = start; t < end; t++) {
    let at = (base + t) * u.heads + head;
    sums[at] += left;
    left += rows[plane_ + at];
    sums[plane_ + at] += rows[plane_ + at];
  }` : ''}`;

/** The stabiliser's gradient goes to the gate that made the maximum, and with the forget gate on to the position before. A thread has a head of a row. */
export const stabiliserGradient = (hasIds: boolean, has: (name: string) => boolean): string => `
  let head = i % u.heads;
  let base = i / u.heads * u.length;
  let plane_ = u.positions * u.heads;
  var y = ${has('last') ? 'last[i]' : '0.0'};
  for (var n = 0u; n < u.length; n++) {
    let t = u.length - 1u - n;
    let at = (base + t) * u.heads + head;
    var before = ${has('initial') ? 'initial[i]' : '0.0'};
    if (t > 0u) { before = plane(${PLANE.m}u, base + t - 1u, head); }
    var continues = true;
    ${hasIds ? `let ids = ${PLANES}u * plane_ + base;
    if (t > 0u) { continues = weights[ids + t] == weights[ids + t - 1u]; } else { continues = weights[ids] == 0u; }` : ''}
    if (!continues) { before = 0.0; }
    let isPadding = plane(${PLANE.u}u, base + t, head) < -1e29;
    let isKept = isPadding || before + logSigmoid(forgetGate[at]) >= inputGate[at];
    y -= u.eps * pulls[at];
    if (isKept) { sums[at] += y; } else { sums[plane_ + at] += y; }
    y = select(0.0, y, isKept && continues);
  }
  dm[i] = y;`;

/** From log weights to gates; none at padding. */
export const gates = `
  let plane_ = u.positions * u.heads;
  let isReal = plane(${PLANE.u}u, i / u.heads, i % u.heads) > -1e29;
  dInput[i] = select(0.0, sums[plane_ + i], isReal);
  dForget[i] = select(0.0, sums[i] * sigmoid(-forgetGate[i]), isReal);`;
