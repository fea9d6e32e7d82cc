import { SUBGROUP_DIRECTIVES, SUBGROUP_THREAD, subgroupReduction } from '@bytelm/core/webgpu';

/** Who looks from where: a byte at the slots of its patch (index: `ids`), or a slot at the bytes of its patch (index: `runs`). */
export type From = 'bytes' | 'slots';

/** How workgroups are made. */
export interface PatchForm {
  threads: number;
  /** Eight neighbours of a subgroup share the channels of a head, instead of a thread having all of them. */
  subgroups?: boolean | undefined;
}

/** Threads of a team. */
export const LANES = 8;

const UNIFORMS = /* wgsl */ `
struct Uniforms { batch: u32, length: u32, patches: u32, slots: u32, heads: u32, dim: u32, valueDim: u32, scale: f32 }`;

/** Threads of the workgroup that looks for a row's runs. */
const RUNS_GROUP = 64;

/** runs (B·M, 2): first byte of every patch, counted through all rows, and how many. One workgroup a row. */
export const RUNS = /* wgsl */ `${UNIFORMS}
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read_write> runs: array<i32>;
@group(0) @binding(2) var<uniform> u: Uniforms;
@compute @workgroup_size(${RUNS_GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let b = w.x + w.y * groups.x;
  if (b >= u.batch) { return; }
  for (var m = local; m < 2u * u.patches; m += ${RUNS_GROUP}u) { runs[2u * b * u.patches + m] = 0; }
  storageBarrier();
  let end = (b + 1u) * u.length;
  for (var t = b * u.length + local; t < end; t += ${RUNS_GROUP}u) {
    let id = ids[t];
    if (id < 0 || u32(id) >= u.patches || (t > b * u.length && ids[t - 1u] == id)) { continue; }
    var last = t + 1u;
    while (last < end && ids[last] == id) { last++; }
    let at = 2u * (b * u.patches + u32(id));
    runs[at] = i32(t);
    runs[at + 1u] = i32(last - t);
  }
}`;

/** What byte or slot i looks at: the first of its partners, and how many. */
const SEEN: Record<From, string> = {
  bytes: /* wgsl */ `
fn seen(i: u32) -> vec2u {
  let id = index[i];
  if (id < 0 || u32(id) >= u.patches) { return vec2u(0u, 0u); }
  return vec2u((i / u.length * u.patches + u32(id)) * u.slots, u.slots);
}
fn total() -> u32 { return u.batch * u.length; }`,
  slots: /* wgsl */ `
fn seen(i: u32) -> vec2u {
  let at = 2u * (i / u.slots);
  return vec2u(u32(index[at]), u32(index[at + 1u]));
}
fn total() -> u32 { return u.batch * u.patches * u.slots; }`,
};

/** What differs between a thread a head and a team a head. */
interface Words {
  directives: string;
  /** Of module scope. */
  functions: string;
  /** Opens `main`: query (or key) `i` of head `h`, and the `run` of its partners. */
  start: string;
  /** The sum over d < `width` of an expression of `c`, to all who share the head. */
  sum(width: string, term: string): string;
  /** Opens a loop over partners j; a partner's number; and its weight, or what is said `otherwise`, where there is no such partner. */
  partners: string;
  partner: string;
  weight(value: string, otherwise?: string): string;
  /** Does something for each channel d of the output that the thread owns; and of that what partner j adds. */
  channels(width: string, body: string): string;
  added(width: string, body: string): string;
  /** Whether the thread writes what there is one of a head. */
  writes: string;
}

const over = (first: string, step: string) => (width: string, body: string) => `for (var d = ${first}; d < ${width}; ${step}) { ${body} }`;

const alone = (threads: number): Words => ({
  directives: '',
  functions: '',
  start: /* wgsl */ `
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${threads}u + local;
  if (i >= total() * u.heads) { return; }
  let h = i % u.heads;
  let run = seen(i / u.heads);`,
  sum: (width, term) => `  var s = 0.0;
  for (var c = 0u; c < ${width}; c++) { s += ${term}; }`,
  partners: 'for (var j = 0u; j < run.y; j++)',
  partner: 'run.x + j',
  weight: (value) => value,
  channels: over('0u', 'd++'),
  added: over('0u', 'd++'),
  writes: '',
});

/**
 * All of a subgroup take as many turns as its longest run, so that they are together where they add up: WGSL cannot see that, hence the
 * diagnostic.
 */
const team = (threads: number): Words => ({
  directives: `${SUBGROUP_DIRECTIVES}diagnostic(off, subgroup_uniformity);\n`,
  functions: `
var<private> lane: u32;
var<private> turns: u32;${subgroupReduction('teamSum', { lanes: LANES })}`,
  start: /* wgsl */ `
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, ${SUBGROUP_THREAD.parameters}) {
${SUBGROUP_THREAD.number}
  lane = t % ${LANES}u;
  let n = (w.x + w.y * groups.x) * ${threads / LANES}u + t / ${LANES}u;
  let isOwn = n < total() * u.heads;
  let i = min(n, total() * u.heads - 1u);
  let h = i % u.heads;
  var run = seen(i / u.heads);
  if (!isOwn) { run.y = 0u; }
  turns = subgroupMax(run.y);`,
  sum: (width, term) => `  var mine = 0.0;
  for (var d = 0u; d < ${width}; d += ${LANES}u) {
    let c = min(d + lane, ${width} - 1u);
    mine += select(0.0, ${term}, d + lane < ${width});
  }
  let s = teamSum(mine);`,
  partners: 'for (var j = 0u; j < turns; j++)',
  partner: 'run.x + min(j, max(run.y, 1u) - 1u)',
  weight: (value, otherwise = '0.0') => `select(${otherwise}, ${value}, j < run.y)`,
  channels: (width, body) => over('lane', `d += ${LANES}u`)(`select(0u, ${width}, isOwn)`, body),
  // Not a weight of 0: what is no partner may be NaN.
  added: (width, body) => over('lane', `d += ${LANES}u`)(`select(0u, ${width}, j < run.y)`, body),
  writes: 'if (isOwn && lane == 0u) ',
});

const wordsOf = ({ threads, subgroups }: PatchForm): Words => (subgroups ? team : alone)(threads);

/** Maximum of the scores of query head i, and the sum of their exponentials above it. */
const softmax = ({ sum, partners, partner, weight }: Words) => /* wgsl */ `
fn score(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.dim;
${sum('u.dim', 'inner(q[i * u.dim + c], k[at + c])')}
  return s * u.scale;
}
fn softmax(i: u32, run: vec2u, h: u32) -> vec2f {
  var top = -1e30;
  var sum = 0.0;
  ${partners} {
    let s = score(i, ${partner}, h);
    let next = max(top, ${weight('s', 'top')});
    sum = sum * exp(top - next) + ${weight('exp(s - next)')};
    top = next;
  }
  return vec2f(top, sum);
}`;

/** Rows of heads are read by fours where all widths allow it: `Channels` is one or four of them, and `u.dim` and `u.valueDim` count those. */
const CHANNELS = {
  f32: 'alias Channels = f32;\nfn inner(a: f32, b: f32) -> f32 { return a * b; }',
  vec4f: 'alias Channels = vec4f;\nfn inner(a: vec4f, b: vec4f) -> f32 { return dot(a, b); }',
};
export type Channels = keyof typeof CHANNELS;
const typeOf = (name: string) => (name === 'index' ? 'i32' : name === 'kept' ? 'f32' : 'Channels');

const inputs = (names: readonly string[]) => names.map((n, i) => `@group(0) @binding(${i}) var<storage, read> ${n}: array<${typeOf(n)}>;`).join('\n');
const outputs = (names: readonly string[], from: number) =>
  names.map((n, i) => `@group(0) @binding(${from + i}) var<storage, read_write> ${n}: array<${typeOf(n)}>;`).join('\n') + `\n@group(0) @binding(${from + names.length}) var<uniform> u: Uniforms;`;

/** Everything before `main`. */
const head = (words: Words, channels: Channels, from: From, reads: readonly string[], writes: readonly string[]) => /* wgsl */ `${words.directives}${UNIFORMS}
${CHANNELS[channels]}
${inputs(reads)}
${outputs(writes, reads.length)}${words.functions}
${SEEN[from]}
${softmax(words)}`;

export function forwardCode(from: From, channels: Channels, form: PatchForm): string {
  const words = wordsOf(form);
  return /* wgsl */ `${head(words, channels, from, ['q', 'k', 'v', 'index'], ['y'])}
${words.start}
  ${words.channels('u.valueDim', 'y[i * u.valueDim + d] = Channels();')}
  let norm = softmax(i, run, h);
  ${words.partners} {
    let p = ${words.weight(`exp(score(i, ${words.partner}, h) - norm.x) / norm.y`)};
    let at = ((${words.partner}) * u.heads + h) * u.valueDim;
    ${words.added('u.valueDim', 'y[i * u.valueDim + d] += p * v[at + d];')}
  }
}`;
}

const slope = ({ sum }: Words) => /* wgsl */ `
fn slope(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.valueDim;
${sum('u.valueDim', 'inner(dy[i * u.valueDim + c], v[at + c])')}
  return s;
}`;

/** dq, and of every query head its log-sum-exp and mean slope, which the keys need. */
export function queryGradCode(from: From, channels: Channels, form: PatchForm): string {
  const words = wordsOf(form);
  const { partners, partner, weight, writes } = words;
  const p = 'exp(score(i, key, h) - norm.x) / norm.y';
  return /* wgsl */ `${head(words, channels, from, ['q', 'k', 'v', 'dy', 'index'], ['dq', 'kept'])}
${slope(words)}
${words.start}
  ${words.channels('u.dim', 'dq[i * u.dim + d] = Channels();')}
  let norm = softmax(i, run, h);
  var mean = 0.0;
  ${partners} {
    let key = ${partner};
    mean += ${weight(`${p} * slope(i, key, h)`)};
  }
  ${writes}{
    kept[2u * i] = norm.x + log(max(norm.y, 1e-30));
    kept[2u * i + 1u] = mean;
  }
  ${partners} {
    let key = ${partner};
    let ds = ${weight(`${p} * (slope(i, key, h) - mean) * u.scale`)};
    ${words.added('u.dim', 'dq[i * u.dim + d] += ds * k[(key * u.heads + h) * u.dim + d];')}
  }
}`;
}

/** dk and dv of one key head, from the queries that see it. */
export function keyGradCode(from: From, channels: Channels, form: PatchForm): string {
  const words = wordsOf(form);
  const { partners, partner, weight } = words;
  return /* wgsl */ `${head(words, channels, from, ['q', 'k', 'v', 'dy', 'kept', 'index'], ['dk', 'dv'])}
${slope(words)}
${words.start}
  ${words.channels('u.dim', 'dk[i * u.dim + d] = Channels();')}
  ${words.channels('u.valueDim', 'dv[i * u.valueDim + d] = Channels();')}
  ${partners} {
    let query = (${partner}) * u.heads + h;
    let p = ${weight('exp(score(query, i / u.heads, h) - kept[2u * query])')};
    let ds = p * (slope(query, i / u.heads, h) - kept[2u * query + 1u]) * u.scale;
    ${words.added('u.dim', 'dk[i * u.dim + d] += ds * q[query * u.dim + d];')}
    ${words.added('u.valueDim', 'dv[i * u.valueDim + d] += p * dy[query * u.valueDim + d];')}
  }
}`;
}
