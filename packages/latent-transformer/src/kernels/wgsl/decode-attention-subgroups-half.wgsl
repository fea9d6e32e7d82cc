enable f16;
enable subgroups;
requires subgroup_id;

struct Uniforms { heads: u32, kvHeads: u32, capacity: u32, share: u32, shares: u32, scale: f32, stride: u32, dim: u32, valueDim: u32, block: u32, pad0: u32, pad1: u32 }
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
fn load_q(row: u32, c: u32) -> vec4f { return q[row * (u.dim / 4u) + c]; }
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
fn load_k(row: u32, c: u32) -> vec4f { return k[row * (u.dim / 4u) + c]; }
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
fn load_v(row: u32, c: u32) -> vec4f { return v[row * (u.valueDim / 4u) + c]; }
@group(0) @binding(3) var<storage, read> rows: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
fn store_y(row: u32, c: u32, value: vec4f) { y[row * (u.valueDim / 4u) + c] = value; }
@group(0) @binding(5) var<uniform> u: Uniforms;
var<workgroup> queries: array<vec4h, 16>;
var<workgroup> keys: array<vec4h, 144>;
var<workgroup> scores: array<f32, 34>;
var<workgroup> tops: array<f32, 2>;
var<workgroup> totals: array<f32, 2>;
var<workgroup> shrinks: array<f32, 2>;
var<workgroup> gathered: array<vec4f, 64>;

fn rowMax(v: f32) -> f32 {
  var x = v;
  x = max(x, subgroupShuffleXor(x, 1u));
  x = max(x, subgroupShuffleXor(x, 2u));
  x = max(x, subgroupShuffleXor(x, 4u));
  return x;
}
fn rowSum(v: f32) -> f32 {
  var x = v;
  x = x + subgroupShuffleXor(x, 1u);
  x = x + subgroupShuffleXor(x, 2u);
  x = x + subgroupShuffleXor(x, 4u);
  return x;
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) subgroupSize: u32, @builtin(subgroup_invocation_id) subgroupLane: u32) {
  let t = subgroup * subgroupSize + subgroupLane;
  let tx = t % 8u;
  let ty = t / 8u;
  let D = (u.dim + 3u) / 4u;
  let V = (u.valueDim + 3u) / 4u;
  let N = u.block;
  let group = u.heads / u.kvHeads;
  let chunks = (group + 1u) / 2u;
  let kvHead = w.y / chunks;
  let g0 = w.y % chunks * 2u;
  let cacheRow = u32(rows[w.z * 5u]) * u.capacity;
  let start = u32(rows[w.z * 5u + 3u]);
  let first = w.x * u.share;
  let end = min(first + u.share, u32(rows[w.z * 5u + 4u]));
  for (var g = ty; g < 2u; g += 8u) {
    for (var c = tx; c < D; c += 8u) {
      queries[g * 8u + c] = vec4h(load_q(w.z * u.stride + kvHead * group + min(g0 + g, group - 1u), c) * u.scale);
    }
  }
  var top = -1e30;
  var total = 0.0;
  let isHead = ty < 2u;
  let column = t % 8u;
  let lane = t / 8u;
  var o0 = vec4f();
  var o1 = vec4f();
  for (var j0 = first; j0 < end; j0 += N) {
    workgroupBarrier();
    for (var r = ty; r < N; r += 8u) {
      let j = start + min(j0 + r, end - 1u);
      let source = (cacheRow + select(j, j - u.capacity, j >= u.capacity)) * u.kvHeads + kvHead;
      for (var c = tx; c < D; c += 8u) { keys[r * 9u + c] = vec4h(load_k(source, c)); }
    }
    workgroupBarrier();
    for (var x = t; x < 32u; x += 64u) {
      let key = x % 16u;
      let g = x / 16u;
      var s = 0.0;
      for (var d = 0u; d < D; d++) { s += dot(vec4f(queries[g * 8u + d]), vec4f(keys[key * 9u + d])); }
      scores[g * 17u + key] = select(-1e30, s, j0 + key < end);
    }
    workgroupBarrier();
    var peak = top;
    for (var key = tx; key < select(0u, N, isHead); key += 8u) { peak = max(peak, scores[ty * 17u + key]); }
    peak = rowMax(peak);
    let shrink = exp(top - peak);
    top = peak;
    total *= shrink;
    for (var key = tx; key < select(0u, N, isHead); key += 8u) {
      let at = ty * 17u + key;
      let weight = select(0.0, exp(scores[at] - top), j0 + key < end);
      scores[at] = weight;
      total += weight;
    }
    if (tx == 0u && isHead) { shrinks[ty] = shrink; }
    workgroupBarrier();
    o0 *= shrinks[0];
    o1 *= shrinks[1];
    for (var key = lane; key < min(N, end - j0); key += 8u) {
      let j = start + j0 + key;
      let value = load_v((cacheRow + select(j, j - u.capacity, j >= u.capacity)) * u.kvHeads + kvHead, min(column, V - 1u));
      o0 = fma(vec4f(scores[0u + key]), value, o0);
      o1 = fma(vec4f(scores[17u + key]), value, o1);
    }
  }
  total = rowSum(total);
  if (tx == 0u && isHead) {
    tops[ty] = top;
    totals[ty] = total;
  }

  workgroupBarrier();
  gathered[t] = o0;
  workgroupBarrier();
  if (t < V && g0 + 0u < group) {
    var sum = gathered[t];
    for (var x = t + 8u; x < 64u; x += 8u) { sum += gathered[x]; }
    let head = w.z * u.heads + kvHead * group + g0 + 0u;
    store_y(head, t, sum * select(1.0 / totals[0], 0.0, totals[0] == 0.0));
  }

  workgroupBarrier();
  gathered[t] = o1;
  workgroupBarrier();
  if (t < V && g0 + 1u < group) {
    var sum = gathered[t];
    for (var x = t + 8u; x < 64u; x += 8u) { sum += gathered[x]; }
    let head = w.z * u.heads + kvHead * group + g0 + 1u;
    store_y(head, t, sum * select(1.0 / totals[1], 0.0, totals[1] == 0.0));
  }
}