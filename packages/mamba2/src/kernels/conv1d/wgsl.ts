// Texts of the convolution's WGSL kernels. T is f32, or vec4f for four channels at a time; sizes in channels count such packs.

/** `f(0)` to `f(n − 1)`, a line each. */
export const lines = (n: number, f: (k: number) => string): string => Array.from({ length: n }, (_, k) => f(k)).join('\n  ');
const sum = (n: number, f: (k: number) => string): string => Array.from({ length: n }, (_, k) => f(k)).join(' + ');

/** Inputs before the sequence and taps, as functions. */
export const common = (width: number, type: string, hasHistory: boolean, hasIds: boolean): string => `
alias T = ${type};
/** The input \`back\` positions before t. */
fn before(b: u32, t: u32, back: u32, c: u32) -> T {
  if (t >= back) { return x[(b * u.length + t - back) * u.packs + c]; }
  ${hasHistory ? `return history[(b * ${width - 1}u + t + ${width - 1}u - back) * u.packs + c];` : 'return T(0.0);'}
}
${hasIds ? `/** The document there; what is before the sequence belongs to document 0. */
fn idBefore(b: u32, t: u32, back: u32) -> i32 {
  if (t >= back) { return ids[b * u.length + t - back]; }
  return 0;
}` : ''}
fn tap(c: u32, k: u32) -> T {
  ${type === 'f32' ? `return weight[c * ${width}u + k];` : `let at = c * ${4 * width}u + k;
  return T(weight[at], weight[at + ${width}u], weight[at + ${2 * width}u], weight[at + ${3 * width}u]);`}
}
/** No exponential of a positive number: none overflows. */
fn sigmoid(v: T) -> T {
  let e = exp(-abs(v));
  return select(e, T(1.0), v >= T(0.0)) / (1.0 + e);
}
`;

/** Which block of positions of which row and channel a thread has, and its taps and window as registers w0…, v0… (and ids d0…). */
const begin = (width: number, has: (name: string) => boolean): string => `
  let c = i % u.packs;
  let b = i / (u.packs * u.blocks);
  let start = (i / u.packs) % u.blocks * u.steps;
  let end = min(start + u.steps, u.length);
  ${lines(width, (k) => `let w${k} = tap(c, ${k}u);`)}
  ${lines(width - 1, (j) => `var v${j} = before(b, start, ${width - 1 - j}u, c);`)}
  var v${width - 1} = T(0.0);
  ${has('ids') ? lines(width - 1, (j) => `var d${j} = idBefore(b, start, ${width - 1 - j}u);`) + `\n  var d${width - 1} = 0;` : ''}`;

/** The window's value j, or 0 where it belongs to another document than position `to` of the window. */
const inDocument = (value: string, j: number, to: number, hasIds: boolean): string => (hasIds && j !== to ? `select(T(0.0), ${value}, d${j} == d${to})` : value);

const preActivation = (width: number, has: (name: string) => boolean): string =>
  `${has('bias') ? 'bias[c] + ' : ''}${sum(width, (k) => `w${k} * ${inDocument(`v${k}`, k, width - 1, has('ids'))}`)}`;

const shift = (width: number, name: string): string => lines(width - 1, (j) => `${name}${j} = ${name}${j + 1};`);

export const forward = (width: number, silu: boolean, type: string, has: (name: string) => boolean): string => `
  let outputs = u.batch * u.blocks * u.packs;
  ${has('last') ? `if (i >= outputs) {
    let e = i - outputs;
    let c = e % u.packs;
    let b = e / (u.packs * ${width - 1}u);
    let row = e / u.packs % ${width - 1}u;
    last[e] = before(b, ${has('lengths') ? 'u32(lengths[b])' : 'u.length'} + row, ${width - 1}u, c);
    return;
  }` : ''}${begin(width, has)}
  for (var t = start; t < end; t++) {
    let at = (b * u.length + t) * u.packs + c;
    v${width - 1} = x[at];
    ${has('ids') ? `d${width - 1} = ids[b * u.length + t];` : ''}
    let pre: ${type} = ${preActivation(width, has)};
    y[at] = ${silu ? 'pre / (1.0 + exp(min(-pre, T(80.0))))' : 'pre'};
    ${shift(width, 'v')}
    ${has('ids') ? shift(width, 'd') : ''}
  }`;

/** d pre from d y: the slope of silu. */
const slope = (silu: boolean): string => (silu ? ' * (s * (1.0 + pre * (1.0 - s)))' : '');

/**
 * dx of the block's positions needs d pre of the K − 1 positions after it as well; e0… is the window of the last K of them. Gradients of taps
 * and bias are summed over the block's own positions.
 */
export const gradient = (width: number, silu: boolean, type: string, has: (name: string) => boolean): string => {
  const planes = width + (has('bias') ? 1 : 0);
  return `${begin(width, has)}
  ${lines(width, (j) => `var e${j} = T(0.0);`)}
  ${lines(width, (k) => `var a${k} = T(0.0);`)}
  var total = T(0.0);
  for (var t = start; t < start + u.steps + ${width - 1}u; t++) {
    ${shift(width, 'e')}
    e${width - 1} = T(0.0);
    v${width - 1} = T(0.0);
    if (t < u.length) {
      let at = (b * u.length + t) * u.packs + c;
      v${width - 1} = x[at];
      ${has('ids') ? `d${width - 1} = ids[b * u.length + t];` : ''}
      let pre: ${type} = ${preActivation(width, has)};
      let s = sigmoid(pre);
      e${width - 1} = dy[at]${slope(silu)};
      if (t < end) {
        ${lines(width, (k) => `a${k} += e${width - 1} * ${inDocument(`v${k}`, k, width - 1, has('ids'))};`)}
        total += e${width - 1};
      }
    }
    if (t + 1u >= start + ${width}u && t + 1u < u.length + ${width}u) {
      dx[(b * u.length + t - ${width - 1}u) * u.packs + c] = ${sum(width, (j) => `w${width - 1 - j} * ${inDocument(`e${j}`, j, 0, has('ids'))}`)};
    }
    ${shift(width, 'v')}
    ${has('ids') ? shift(width, 'd') : ''}
  }
  let slot = (i / u.packs) * ${planes}u;
  ${lines(width, (k) => `parts[(slot + ${k}u) * u.packs + c] = a${k};`)}
  ${has('bias') ? `parts[(slot + ${width}u) * u.packs + c] = total;` : ''}`;
};

/** d pre of one position as a function. */
export const preGradient = (width: number, silu: boolean, type: string, hasBias: boolean, hasIds: boolean): string => `
fn preGradient(b: u32, t: u32, c: u32) -> T {
  var pre: ${type} = ${hasBias ? 'bias[c]' : 'T(0.0)'};
  for (var k = 0u; k < ${width}u; k++) {
    ${hasIds ? `if (idBefore(b, t, ${width - 1}u - k) != ids[b * u.length + t]) { continue; }` : ''}
    pre += tap(c, k) * before(b, t, ${width - 1}u - k, c);
  }
  let s = sigmoid(pre);
  return dy[(b * u.length + t) * u.packs + c]${slope(silu)};
}
`;

/** The first K − 1 positions read the history, those of document 0. */
export const historyGradient = (width: number, type: string, hasIds: boolean): string => `
  let c = i % u.packs;
  let b = i / (u.packs * ${width - 1}u);
  let row = i / u.packs % ${width - 1}u;
  var d: ${type} = T(0.0);
  for (var t = 0u; t <= min(row, u.length - 1u); t++) {
    ${hasIds ? 'if (ids[b * u.length + t] != 0) { continue; }' : ''}
    d += tap(c, row - t) * preGradient(b, t, c);
  }
  dHistory[i] = d;`;

/** What comes to the last state goes to where its rows came from. */
export const stateGradient = (width: number, has: (name: string) => boolean): string => `
  let c = i % u.packs;
  let b = i / (u.packs * ${width - 1}u);
  let row = i / u.packs % ${width - 1}u;
  let end = ${has('lengths') ? 'u32(lengths[b])' : 'u.length'} + row;
  if (end >= ${width - 1}u) {
    dx[(b * u.length + end - ${width - 1}u) * u.packs + c] += dState[i];
  }${has('dHistory') ? ` else {
    dHistory[(b * ${width - 1}u + end) * u.packs + c] += dState[i];
  }` : ''}`;

export const sumOfParts = (has: (name: string) => boolean): string => `
  let c = i % u.channels;
  let k = i / u.channels;
  let planes = u.count / u.channels;
  var total = 0.0;
  for (var s = 0u; s < u.slots; s++) { total += parts[(s * planes + k) * u.channels + c]; }
  ${has('dBias') ? 'if (k == u.width) { dBias[c] = total; return; }' : ''}
  dWeight[c * u.width + k] = total;`;
