import { maskFunctions, UNIFORMS } from './webgpu-mask.js';
import { joined, partsOf, strideOf, type AttentionText } from './webgpu-shape.js';
import { accumulate, column, grid, lines, products, row, rowInput, rowOutput, SIDE, stage, THREADS } from './webgpu-text.js';

/** Workgroup memory, bytes. */
export const forwardBytes = (a: AttentionText): number => 16 * (a.rows + a.columns) * strideOf(a) + 4 * a.rows * (a.columns + 1) + 4 * a.rows * SIDE;

/**
 * A workgroup per (batch row, head, tile of queries) passes over the tiles of keys with a running maximum and sum. Keys and values share one
 * buffer: values come when the scores are done. Rows of the buffers are padded by a vector, so that threads on different rows use different banks.
 */
export function forwardCode(a: AttentionText): string {
  const { rows, columns, isMasked } = a;
  const { dim, valueDim, sizes, R, C, ofValue: O, stride, weightStride } = partsOf(a);
  const outputs = isMasked ? 4 : 3;
  const weight = (r: number, c: number) => `weights[${row(r)} * ${weightStride}u + ${column(c)}]`;
  return /* wgsl */ `${UNIFORMS}
${rowInput('q', 0, dim)}
${rowInput('k', 1, dim)}
${rowInput('v', 2, valueDim)}
${isMasked ? '@group(0) @binding(3) var<storage, read> mask: array<vec2i>;' : ''}
${rowOutput('y', outputs, valueDim)}
@group(0) @binding(${outputs + 1}) var<storage, read_write> lse: array<f32>;
@group(0) @binding(${outputs + 2}) var<uniform> u: Uniforms;
${maskFunctions(isMasked)}
var<workgroup> own: array<vec4f, ${rows * stride}>;
var<workgroup> tile: array<vec4f, ${columns * stride}>;
var<workgroup> weights: array<f32, ${rows * weightStride}>;
var<workgroup> tops: array<f32, ${rows * SIDE}>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = t % ${SIDE}u;
  let ty = t / ${SIDE}u;
${sizes}
  let h = w.y;
  let b = w.z;
  let kvHead = h / (u.heads / u.kvHeads);
  // The longest rows of a causal triangle first.
  let i0 = select(w.x, (u.queries - 1u) / ${rows}u - w.x, u.causal != 0u) * ${rows}u;
  ${stage('own', `${rows}u`, 'D', stride, 'q', `(b * u.queries + min(i0 + r, u.queries - 1u)) * u.heads + h`, ' * u.scale')}
${lines(R, (r) => `  let query${r} = queryAt(b, i0 + ${row(r)});\n  var m${r} = -1e30;\n  var l${r} = 0.0;`)}
${grid(R, O, (r, c) => `  var o${r}_${c} = vec4f();`)}
  let range = keyRange(i0, ${rows}u);
${isMasked ? `  let mine = queryBounds(b, i0, ${rows}u);` : ''}
  for (var j0 = range.x / ${columns}u * ${columns}u; j0 < range.y; j0 += ${columns}u) {
${isMasked ? `    if (skips(mine, keyBounds(b, j0, ${columns}u))) { continue; }` : ''}
    workgroupBarrier();
    ${stage('tile', 'N', 'D', stride, 'k', `(b * u.keys + min(j0 + r, u.keys - 1u)) * u.kvHeads + kvHead`)}
    workgroupBarrier();
${products('s', R, C, 'D', stride, 'own', 'tile')}
${lines(C, (c) => `    let key${c} = keyAt(b, j0 + ${column(c)});`)}
${grid(R, C, (r, c) => `    let seen${r}_${c} = isVisible(query${r}, key${c});\n    s${r}_${c} = select(-1e30, s${r}_${c}, seen${r}_${c});`)}
${lines(R, (r) => `    tops[${row(r)} * ${SIDE}u + tx] = ${joined(C, (c) => `s${r}_${c}`, (x, y) => `max(${x}, ${y})`)};`)}
    workgroupBarrier();
${lines(R, (r) => `    var top${r} = m${r};
    for (var x = 0u; x < S; x++) { top${r} = max(top${r}, tops[${row(r)} * ${SIDE}u + x]); }
    let shrink${r} = exp(m${r} - top${r});
    m${r} = top${r};
    l${r} *= shrink${r};
${lines(O, (c) => `    o${r}_${c} *= shrink${r};`)}`)}
    // A tile without a visible key leaves the maximum at −1e30, where hidden scores would weigh exp(0).
${grid(R, C, (r, c) => `    ${weight(r, c)} = select(0.0, exp(s${r}_${c} - m${r}), seen${r}_${c});`)}
    ${stage('tile', 'N', 'V', stride, 'v', `(b * u.keys + min(j0 + r, u.keys - 1u)) * u.kvHeads + kvHead`)}
    workgroupBarrier();
    ${accumulate('o', R, O, 'N', weightStride, stride, 'weights', 'tile', (r) => ` l${r} += a${r};`)}
  }
${lines(R, (r) => `  let i_${r} = i0 + ${row(r)};
  if (i_${r} < u.queries) {
    let inverse = select(1.0 / l${r}, 0.0, l${r} == 0.0);
${lines(O, (c) => `    if (${column(c)} < V) { store_y((b * u.queries + i_${r}) * u.heads + h, ${column(c)}, o${r}_${c} * inverse); }`)}
    if (tx == 0u) { lse[(b * u.heads + h) * u.queries + i_${r}] = select(m${r} + log(l${r}), 0.0, l${r} == 0.0); }
  }`)}
}`;
}
