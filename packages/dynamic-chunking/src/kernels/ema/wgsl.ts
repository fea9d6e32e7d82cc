// Texts of the WGSL kernels of the moving average. T is f32, or vec4f for four channels at a time.

/** Threads of a workgroup side by side in the channels. */
export const LANES = 64;
/** Positions whose products with all lanes wait in workgroup memory for their sum. */
const ROWS = 32;

/** P and what remains of the value before, 0 where a document starts. */
export const common = (type: string, hasIds: boolean): string => `
alias T = ${type};
fn weight(b: u32, t: u32) -> f32 { return clamp(p[b * u.length + t], u.low, u.high); }
fn continues(b: u32, t: u32) -> bool {
  ${hasIds ? 'if (t > 0u) { return ids[b * u.length + t] == ids[b * u.length + t - 1u]; }' : ''}
  return true;
}
fn decay(b: u32, t: u32) -> f32 { return select(0.0, 1.0 - weight(b, t), continues(b, t)); }
/** The decay between t and the position after it; nothing comes back from behind the end. */
fn decayAfter(b: u32, t: u32) -> f32 {
  if (t + 1u >= u.length) { return 0.0; }
  return decay(b, t + 1u);
}
`;

const PLACE = `
  let c = i % u.packs;
  let b = i / (u.packs * u.blocks);
  let block = i / u.packs % u.blocks;
  let start = block * u.steps;
  let end = min(start + u.steps, u.length);`;

/** The blocks' last states from zero, and the products of their decays. */
export const ends = (reverse: boolean): string => `${PLACE}
  var h = T(0.0);
  var product = 1.0;
  for (var n = start; n < end; n++) {
    ${reverse ? `let t = start + end - 1u - n;
    let kept = decayAfter(b, t);
    h = kept * h + terms[(b * u.length + t) * u.packs + c];` : `let kept = decay(b, n);
    h = kept * h + weight(b, n) * terms[(b * u.length + n) * u.packs + c];`}
    product *= kept;
  }
  ends[(b * (u.blocks + 1u) + block) * u.packs + c] = h;
  if (c == 0u) { decays[b * u.blocks + block] = product; }`;

/** Puts the state that enters in the place of the one that leaves. */
export const carry = (reverse: boolean, type: string, hasInitial: boolean): string => `
  let c = i % u.packs;
  let b = i / u.packs;
  let first = b * (u.blocks + 1u);
  let initial_ = ${hasInitial ? 'initial[i]' : `${type}(0.0)`};
  var h = ${reverse ? `${type}(0.0)` : 'initial_'};
  for (var n = 0u; n < u.blocks; n++) {
    let block = ${reverse ? 'u.blocks - 1u - n' : 'n'};
    let at = (first + block) * u.packs + c;
    let own = ends[at];
    ends[at] = h;
    h = decays[b * u.blocks + block] * h + own;
  }
  ends[(first + u.blocks) * u.packs + c] = initial_;`;

export const forward = (has: (name: string) => boolean): string => `${PLACE}
  var h = ${has('states') ? 'states[(b * (u.blocks + 1u) + block) * u.packs + c]' : 'T(0.0)'};
  ${has('y') ? `let list = b * (u.length + 1u);
  if (block == 0u) {
    for (var r = 0u; r < u32(starts[list]); r++) { y[(b * u.outer + r) * u.packs + c] = T(0.0); }
  }` : ''}
  for (var t = start; t < end; t++) {
    let at = (b * u.length + t) * u.packs + c;
    h = decay(b, t) * h + weight(b, t) * terms[at];
    z[at] = h;
    ${has('y') ? 'for (var r = u32(starts[list + t]); r < u32(starts[list + t + 1u]); r++) { y[(b * u.outer + r) * u.packs + c] = h; }' : ''}
  }`;

/** Rows padded by one: threads that sum a row each then hit different banks. */
export const TILE = `var<workgroup> tile: array<f32, ${ROWS * (LANES + 1)}>;\n`;

/**
 * G backwards over a block; dx, and the products with x − z of ${ROWS} positions at a time summed over the lanes of a workgroup.
 * Behind the sums `parts` holds the gradient of the initial state.
 */
export const gradient = (pack: number, hasStates: boolean, hasInitial: boolean): string => `
  let lane = g % u.lanes;
  let b = g / (u.lanes * u.blocks);
  let block = g / u.lanes % u.blocks;
  let start = block * u.steps;
  let end = min(start + u.steps, u.length);
  let isInside = lane * ${LANES}u + local < u.packs;
  let c = min(lane * ${LANES}u + local, u.packs - 1u);
  let states_ = b * (u.blocks + 1u);
  var h = ${hasStates ? 'states[(states_ + block) * u.packs + c]' : 'T(0.0)'};
  for (var last = end; last > start; last -= min(last - start, ${ROWS}u)) {
    let first = last - min(last - start, ${ROWS}u);
    for (var n = first; n < last; n++) {
      let t = first + last - 1u - n;
      let at = (b * u.length + t) * u.packs + c;
      h = terms[at] + decayAfter(b, t) * h;
      if (isInside) { dx[at] = weight(b, t) * h; }
      var previous = T(0.0);
      if (t > 0u) {
        if (continues(b, t)) { previous = z[at - u.packs]; }
      }${hasInitial ? ' else { previous = states[(states_ + u.blocks) * u.packs + c]; }' : ''}
      let product = h * (x[at] - previous);
      tile[(t - first) * ${LANES + 1}u + local] = select(0.0, ${pack === 4 ? 'dot(product, vec4f(1.0))' : 'product'}, isInside);
    }
    workgroupBarrier();
    if (local < last - first) {
      var total = 0.0;
      for (var j = 0u; j < ${LANES}u; j++) { total += tile[local * ${LANES + 1}u + j]; }
      parts[(b * u.lanes + lane) * u.length + first + local] = total;
    }
    workgroupBarrier();
  }
  ${hasInitial ? `if (block == 0u && isInside) {
    let d = (1.0 - weight(b, 0u)) * h;
    let at = u.batch * u.lanes * u.length + (b * u.packs + c) * ${pack}u;
    ${pack === 4 ? 'parts[at] = d.x; parts[at + 1u] = d.y; parts[at + 2u] = d.z; parts[at + 3u] = d.w;' : 'parts[at] = d;'}
  }` : ''}`;

export const gradientSums = (has: (name: string) => boolean): string => `
  let positions = u.batch * u.length;
  ${has('dInitial') ? `if (i >= positions) {
    dInitial[i - positions] = parts[positions * u.lanes + i - positions];
    return;
  }` : ''}
  let b = i / u.length;
  var total = 0.0;
  for (var lane = 0u; lane < u.lanes; lane++) { total += parts[(b * u.lanes + lane) * u.length + i % u.length]; }
  dp[i] = select(0.0, total, p[i] == clamp(p[i], u.low, u.high));`;
