import { UNIFORMS } from './webgpu-mask.js';
import type { AttentionText, partsOf } from './webgpu-shape.js';
import { heightOf, rowInput, SIDE, threadNumber, threadParameters, tileType, type Form } from './webgpu-text.js';

// What the passes over tiles of queries and keys have in common: bindings, the threads' numbers, rows of tensors, and loops.

type Parts = Pick<ReturnType<typeof partsOf>, 'dim' | 'valueDim' | 'sizes'>;

/** Uniforms, q, k, v, what is read `more` and the mask, in the order of their bindings. */
export const inputs = ({ dim, valueDim }: Parts, isMasked: boolean, more: readonly string[] = []): string =>
  [UNIFORMS, rowInput('q', 0, dim), rowInput('k', 1, dim), rowInput('v', 2, valueDim), ...more, isMasked ? `@group(0) @binding(${3 + more.length}) var<storage, read> mask: array<vec2i>;` : ''].join('\n');

/** Arrays in workgroup memory: tiles by their rows of `stride` vectors, then floats. */
export const buffers = (form: Form, stride: number, tiles: Readonly<Record<string, number>>, floats: Readonly<Record<string, number>>): string =>
  [
    ...Object.entries(tiles).map(([name, rows]) => `var<workgroup> ${name}: array<${tileType(form)}, ${rows * stride}>;`),
    ...Object.entries(floats).map(([name, size]) => `var<workgroup> ${name}: array<f32, ${size}>;`),
  ].join('\n');

/** Opens `main`: workgroup `w`, thread (tx, ty). */
export const begin = (form: Form, { sizes }: Parts): string => `
@compute @workgroup_size(${SIDE * heightOf(form)})
fn main(@builtin(workgroup_id) w: vec3u, ${threadParameters(form)}) {
${threadNumber(form)}  let tx = t % ${SIDE}u;
  let ty = t / ${SIDE}u;
${sizes}`;

/** Where a workgroup has a head of queries: `h`, `b`, `kvHead`. */
export const QUERY_HEAD = `  let h = w.y;
  let b = w.z;
  let kvHead = h / (u.heads / u.kvHeads);`;

/** And its first query; the longest rows of a causal triangle come first. */
export const queryTile = (rows: number): string => `  let i0 = select(w.x, (u.queries - 1u) / ${rows}u - w.x, u.causal != 0u) * ${rows}u;`;

/** Row `r` of a tile that begins at query i0, or at key j0; behind the end the last one again. */
export const queryRow = '(b * u.queries + min(i0 + r, u.queries - 1u)) * u.heads + h';
export const keyRow = '(b * u.keys + min(j0 + r, u.keys - 1u)) * u.kvHeads + kvHead';

/** Opens the loop over the tiles of keys `j0` that any of `rows` queries from i0 on may see. */
export const eachKeyTile = ({ rows, columns, isMasked }: AttentionText): string => `  let range = keyRange(i0, ${rows}u);
${isMasked ? `  let mine = queryBounds(b, i0, ${rows}u);` : ''}
  for (var j0 = range.x / ${columns}u * ${columns}u; j0 < range.y; j0 += ${columns}u) {
${isMasked ? `    if (skips(mine, keyBounds(b, j0, ${columns}u))) { continue; }` : ''}
    workgroupBarrier();`;
