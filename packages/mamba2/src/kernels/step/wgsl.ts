import type { ResolvedMamba2Config } from '../../config.js';

// Texts of the decode step's kernels. A model's sizes are constants: they never change while it decodes.

/** Threads of a workgroup, and of those that share a row of the state. */
export const GROUP = 256;
const LANES = 16;
/** Channels of a head that one workgroup has; so more of a device is busy than there are heads. */
export const CHANNELS = 16;

/** The place of row r's states. */
const stateRow = (hasRows: boolean, r: string): string => (hasRows ? `u32(rows[${r}])` : r);

/** Rows that take no part leave before they touch their states. */
const leave = (has: (name: string) => boolean): string => (has('isActive') ? '\n  if (isActive[r] == 0) { return; }' : '');

/** sum = hidden (+ residual), y = its RMSNorm; a workgroup a row. */
export const norm = (width: number, has: (name: string) => boolean): string => `
  let base = g * ${width}u;
  var own = 0.0;
  for (var d = local; d < ${width}u; d += ${GROUP}u) {
    let v = hidden[base + d]${has('residual') ? ' + residual[base + d]' : ''};
    total[base + d] = v;
    own += v * v;
  }
  let r = inverseSqrt(sumAll(own, local) / ${width}.0 + u.eps);
  for (var d = local; d < ${width}u; d += ${GROUP}u) { y[base + d] = total[base + d] * r * weight[d]; }`;

/** A thread has a channel of a row: the convolution at this position, and its window one further. */
export const convolution = (c: ResolvedMamba2Config, has: (name: string) => boolean): string => {
  const taps = c.convWidth;
  const range = Array.from({ length: taps - 1 }, (_, k) => k);
  return `
  let channel = i % ${c.convChannels}u;
  let r = i / ${c.convChannels}u;${leave(has)}
  let at = ${stateRow(has('rows'), 'r')} * ${(taps - 1) * c.convChannels}u + channel;
  ${range.map((k) => `let v${k} = conv[at + ${k * c.convChannels}u];`).join('\n  ')}
  let v${taps - 1} = projected[r * ${c.projRows}u + ${2 * c.dMlp + c.dSsm}u + channel];
  ${range.map((k) => `conv[at + ${k * c.convChannels}u] = v${k + 1};`).join('\n  ')}
  let first = channel * ${taps}u;
  xBC[i] = silu(${has('bias') ? 'bias[channel] + ' : ''}${[...range, taps - 1].map((k) => `weight[first + ${k}u] * v${k}`).join(' + ')});`;
};

/** Sums of a workgroup of `scan`, rows padded by one against bank conflicts. */
export const SUMS = `var<workgroup> sums: array<f32, ${CHANNELS * (LANES + 1)}>;\n`;

/** A workgroup has some channels of a head of a row: the update of their state, and what they read from it. */
export const scan = (c: ResolvedMamba2Config, has: (name: string) => boolean): string => {
  const blocks = Math.ceil(c.headDim / CHANNELS);
  const perGroup = c.numHeads / c.numGroups;
  return `
  let first = g % ${blocks}u * ${CHANNELS}u;
  let head = g / ${blocks}u % ${c.numHeads}u;
  let r = g / ${blocks * c.numHeads}u;${leave(has)}
  let row = ${stateRow(has('rows'), 'r')};
  let lane = local % ${LANES}u;
  let p = first + local / ${LANES}u;
  let values = r * ${c.convChannels}u;
  let group_ = values + ${c.dSsm}u + head / ${perGroup}u * ${c.dState}u;
  let raw = projected[r * ${c.projRows}u + ${2 * c.dMlp + c.dSsm + c.convChannels}u + head] + dtBias[head];
  let delta = clamp(softplus(raw), u.low, u.high);
  let decay = exp(-delta * exp(aLog[head]));
  if (p < ${c.headDim}u) {
    let state = ((row * ${c.numHeads}u + head) * ${c.headDim}u + p) * ${c.dState}u;
    let input = delta * xBC[values + head * ${c.headDim}u + p];
    var own = 0.0;
    for (var n = lane; n < ${c.dState}u; n += ${LANES}u) {
      let s = decay * ssm[state + n] + input * xBC[group_ + n];
      ssm[state + n] = s;
      own += s * xBC[group_ + ${c.numGroups * c.dState}u + n];
    }
    sums[local / ${LANES}u * ${LANES + 1}u + lane] = own;
  }
  workgroupBarrier();
  if (local < ${CHANNELS}u && first + local < ${c.headDim}u) {
    let channel = head * ${c.headDim}u + first + local;
    var v = D[${c.dPerChannel ? 'channel' : 'head'}] * xBC[values + channel];
    for (var j = 0u; j < ${LANES}u; j++) { v += sums[local * ${LANES + 1}u + j]; }
    y[r * ${c.dSsm}u + channel] = v;
  }`;
};

/** A workgroup has a group of channels of a row: gate and norm, and its part of the MLP path. */
export const gate = (c: ResolvedMamba2Config, has: (name: string) => boolean): string => {
  const width = c.dSsm / c.numGroups;
  const isFirst = c.normBeforeGate;
  const z = `projected[r * ${c.projRows}u + ${2 * c.dMlp}u + d]`;
  const value = `y[r * ${c.dSsm}u + d]`;
  return `
  let group_ = g % ${c.numGroups}u;
  let r = g / ${c.numGroups}u;
  ${has('weight') ? `var own = 0.0;
  for (var j = local; j < ${width}u; j += ${GROUP}u) {
    let d = group_ * ${width}u + j;
    let v = ${value}${isFirst ? '' : ` * silu(${z})`};
    own += v * v;
  }
  let scale = inverseSqrt(sumAll(own, local) / ${width}.0 + u.eps);` : ''}
  for (var j = local; j < ${width}u; j += ${GROUP}u) {
    let d = group_ * ${width}u + j;
    inner[r * ${c.dInner}u + ${c.dMlp}u + d] = ${value} * silu(${z})${has('weight') ? ' * scale * weight[d]' : ''};
  }
  ${c.dMlp ? `for (var d = group_ * ${GROUP}u + local; d < ${c.dMlp}u; d += ${c.numGroups * GROUP}u) {
    inner[r * ${c.dInner}u + d] = silu(projected[r * ${c.projRows}u + d]) * projected[r * ${c.projRows}u + ${c.dMlp}u + d];
  }` : ''}`;
};
