import type { FastKernel } from '@bytelm/core';
import { reduction, runWgsl } from '@bytelm/core/webgpu';

/** Threads that share a row of logits: nothing of the vocabulary's width is stored but what goes out. */
const GROUP = 128;

const declare = (type: string) => () => reduction('largest', GROUP, { type, join: 'max(x, y)' }) + reduction('total', GROUP, { type });
const everyClass = (statements: string, width = 'u.classes') => `  for (var c = local; c < ${width}; c += ${GROUP}u) {${statements}}\n`;

/** Of all classes and of those in the set: the greatest logit, and the sum of exponentials above it. */
const MASSES = `
  let first = g * u.classes;
  var top = vec2f(-1e30);
${everyClass(' top = max(top, vec2f(logits[first + c], select(-1e30, logits[first + c], members[c] > 0.5))); ')}
  top = largest(top, local);
  var sum = vec2f();
${everyClass(' sum += vec2f(exp(logits[first + c] - top.x), select(0.0, exp(min(logits[first + c] - top.y, 0.0)), members[c] > 0.5)); ')}
  sum = total(sum, local);
`;

export const logMassWebGpu: FastKernel<'logits' | 'set', object> = ({ inputs: { logits, set }, backend }) => {
  const [rows, classes] = logits!.shape as [number, number];
  return runWgsl(backend, {
    key: 'log mass',
    inputs: { logits, members: set },
    outputs: { y: { shape: [rows] } },
    u32: { classes },
    group: GROUP,
    workgroups: rows,
    declare: declare('vec2f'),
    main: () => `${MASSES}  if (local == 0u) { y[g] = select(top.y + log(sum.y), -1e30, sum.y == 0.0) - top.x - log(sum.x); }`,
  });
};

export const logMassGradWebGpu: FastKernel<'logits' | 'set' | 'dy', object> = ({ inputs: { logits, set, dy }, backend }) => {
  const [rows, classes] = logits!.shape as [number, number];
  return runWgsl(backend, {
    key: 'log mass gradient',
    inputs: { logits, members: set, dy },
    outputs: { dlogits: { shape: [rows, classes] } },
    u32: { classes },
    group: GROUP,
    workgroups: rows,
    declare: declare('vec2f'),
    main: () => `${MASSES}${everyClass(`
    let share = select(0.0, exp(min(logits[first + c] - top.y, 0.0)) / sum.y, members[c] > 0.5);
    dlogits[first + c] = dy[g] * (share - exp(logits[first + c] - top.x) / sum.x);
  `)}`,
  });
};

const LOG_SUM = `
  let width = u.classes / 2u;
  let first = g * u.classes;
  var top = -1e30;
${everyClass(' top = max(top, logits[first + c]); ')}
  top = largest(top, local);
  var sum = 0.0;
${everyClass(' sum += exp(logits[first + c] - top); ')}
  sum = total(sum, local);
`;

export const foldHalvesWebGpu: FastKernel<'logits', object> = ({ inputs: { logits }, backend }) => {
  const [rows, classes] = logits!.shape as [number, number];
  return runWgsl(backend, {
    key: 'fold halves',
    inputs: { logits },
    outputs: { y: { shape: [rows, classes / 2] } },
    u32: { classes },
    group: GROUP,
    workgroups: rows,
    declare: declare('f32'),
    main: () => `${LOG_SUM}  let lse = top + log(sum);
${everyClass(`
    let a = logits[first + c];
    let b = logits[first + width + c];
    y[g * width + c] = max(a, b) + log(1.0 + exp(-abs(a - b))) - lse;
  `, 'width')}`,
  });
};

export const foldHalvesGradWebGpu: FastKernel<'logits' | 'dy', object> = ({ inputs: { logits, dy }, backend }) => {
  const [rows, classes] = logits!.shape as [number, number];
  return runWgsl(backend, {
    key: 'fold halves gradient',
    inputs: { logits, dy },
    outputs: { dlogits: { shape: [rows, classes] } },
    u32: { classes },
    group: GROUP,
    workgroups: rows,
    declare: declare('f32'),
    main: () => `${LOG_SUM}  var all = 0.0;
${everyClass(' all += dy[g * width + c]; ', 'width')}
  all = total(all, local) / sum;
${everyClass(`
    let a = logits[first + c];
    let b = logits[first + width + c];
    let odds = exp(min(b - a, 80.0));
    let part = dy[g * width + c] / (1.0 + odds);
    dlogits[first + c] = part - all * exp(a - top);
    dlogits[first + width + c] = part * odds - all * exp(b - top);
  `, 'width')}`,
  });
};
