import { subgroupReduction } from '@bytelm/core/webgpu';
import { begin, buffers, eachKeyTile, inputs, keyRow, QUERY_HEAD, queryRow, queryTile } from './webgpu-frame.js';
import { maskFunctions } from './webgpu-mask.js';
import { joined, partsOf, strideOf, type AttentionText } from './webgpu-shape.js';
import { accumulate, column, directives, grid, lines, products, row as rowOf, rowOutput, SIDE, stage, tileBytes } from './webgpu-text.js';

/** Workgroup memory, bytes. */
export const forwardBytes = (a: AttentionText): number => tileBytes(a) * (a.rows + a.columns) * strideOf(a) + 4 * a.rows * (a.columns + 1) + (a.subgroups ? 0 : 4 * a.rows * SIDE);

/**
 * A workgroup per (batch row, head, tile of queries) passes over the tiles of keys with a running maximum and sum. Keys and values share one
 * buffer: values come when the scores are done. Rows of the buffers are padded by a vector, so that threads on different rows use different banks.
 */
export function forwardCode(a: AttentionText): string {
  const { rows, columns, isMasked, subgroups } = a;
  const row = (r: number) => rowOf(r, a);
  const parts = partsOf(a);
  const { valueDim, R, C, ofValue: O, stride, weightStride } = parts;
  const outputs = isMasked ? 4 : 3;
  /** The largest score that a thread has of row r; of all threads of the row: from subgroups, or left in `tops`. */
  const own = (r: number) => joined(C, (c) => `s${r}_${c}`, (x, y) => `max(${x}, ${y})`);
  const peak = (r: number) => (subgroups ? `    let peak${r} = rowMax(${own(r)});` : `    tops[${row(r)} * ${SIDE}u + tx] = ${own(r)};`);
  const top = (r: number) => (subgroups ? `    let top${r} = max(m${r}, peak${r});` : `    var top${r} = m${r};
    for (var x = 0u; x < S; x++) { top${r} = max(top${r}, tops[${row(r)} * ${SIDE}u + x]); }`);
  const weight = (r: number, c: number) => `weights[${row(r)} * ${weightStride}u + ${column(c)}]`;
  return /* wgsl */ `${directives(a)}${inputs(parts, isMasked)}
${rowOutput('y', outputs, valueDim)}
@group(0) @binding(${outputs + 1}) var<storage, read_write> lse: array<f32>;
@group(0) @binding(${outputs + 2}) var<uniform> u: Uniforms;
${maskFunctions(isMasked)}${subgroups ? subgroupReduction('rowMax', { lanes: SIDE, join: (x, y) => `max(${x}, ${y})` }) : ''}
${buffers(a, stride, { own: rows, tile: columns }, { weights: rows * weightStride, ...(!subgroups && { tops: rows * SIDE }) })}
${begin(a, parts)}
${QUERY_HEAD}
  // The longest rows of a causal triangle first.
${queryTile(rows)}
  ${stage(a, 'own', `${rows}u`, 'D', stride, 'q', queryRow, ' * u.scale')}
${lines(R, (r) => `  let query${r} = queryAt(b, i0 + ${row(r)});\n  var m${r} = -1e30;\n  var l${r} = 0.0;`)}
${grid(R, O, (r, c) => `  var o${r}_${c} = vec4f();`)}
${eachKeyTile(a)}
    ${stage(a, 'tile', 'N', 'D', stride, 'k', keyRow)}
    workgroupBarrier();
${products(a, 's', R, C, 'D', stride, 'own', 'tile')}
${lines(C, (c) => `    let key${c} = keyAt(b, j0 + ${column(c)});`)}
${grid(R, C, (r, c) => `    let seen${r}_${c} = isVisible(query${r}, key${c});\n    s${r}_${c} = select(-1e30, s${r}_${c}, seen${r}_${c});`)}
${lines(R, peak)}
    workgroupBarrier();
${lines(R, (r) => `${top(r)}
    let shrink${r} = exp(m${r} - top${r});
    m${r} = top${r};
    l${r} *= shrink${r};
${lines(O, (c) => `    o${r}_${c} *= shrink${r};`)}`)}
    // A tile without a visible key leaves the maximum at −1e30, where hidden scores would weigh exp(0).
${grid(R, C, (r, c) => `    ${weight(r, c)} = select(0.0, exp(s${r}_${c} - m${r}), seen${r}_${c});`)}
    ${stage(a, 'tile', 'N', 'V', stride, 'v', keyRow)}
    workgroupBarrier();
    ${accumulate(a, 'o', R, O, 'N', weightStride, stride, 'weights', 'tile', (r) => ` l${r} += a${r};`)}
  }
${lines(R, (r) => `  let i_${r} = i0 + ${row(r)};
  if (i_${r} < u.queries) {
    let inverse = select(1.0 / l${r}, 0.0, l${r} == 0.0);
${lines(O, (c) => `    if (${column(c)} < V) { store_y((b * u.queries + i_${r}) * u.heads + h, ${column(c)}, o${r}_${c} * inverse); }`)}
    if (tx == 0u) { lse[(b * u.heads + h) * u.queries + i_${r}] = select(m${r} + log(l${r}), 0.0, l${r} == 0.0); }
  }`)}
}`;
}
