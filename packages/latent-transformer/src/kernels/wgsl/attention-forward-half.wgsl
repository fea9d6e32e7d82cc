enable f16;

struct Uniforms {
  batch: u32, queries: u32, keys: u32, heads: u32,
  kvHeads: u32, causal: u32, isEqual: u32, byIndex: u32,
  offset: i32, window: i32, scale: f32, dim: u32,
  valueDim: u32, columns: u32, side: u32, pad: u32,
}
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
fn load_q(row: u32, c: u32) -> vec4f { return q[row * 2u + c]; }
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
fn load_k(row: u32, c: u32) -> vec4f { return k[row * 2u + c]; }
@group(0) @binding(2) var<storage, read> v: array<f32>;
fn load_v(row: u32, c: u32) -> vec4f {
  let at = row * 6u + 4u * c;
  return vec4f(v[at], select(0.0, v[at + 1u], 4u * c + 1u < 6u), select(0.0, v[at + 2u], 4u * c + 2u < 6u), select(0.0, v[at + 3u], 4u * c + 3u < 6u));
}
@group(0) @binding(3) var<storage, read> mask: array<vec2i>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
fn store_y(row: u32, c: u32, value: vec4f) {
  let at = row * 6u + 4u * c;
  if (4u * c + 0u < 6u) { y[at + 0u] = value[0]; }
  if (4u * c + 1u < 6u) { y[at + 1u] = value[1]; }
  if (4u * c + 2u < 6u) { y[at + 2u] = value[2]; }
  if (4u * c + 3u < 6u) { y[at + 3u] = value[3]; }
}
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<uniform> u: Uniforms;

fn queryAt(b: u32, i: u32) -> vec2i { return mask[b * u.queries + min(i, u.queries - 1u)]; }
fn keyAt(b: u32, j: u32) -> vec2i {
  let key = mask[u.batch * u.queries + b * u.keys + min(j, u.keys - 1u)];
  return select(vec2i(-1, 0), key, j < u.keys);
}
fn isVisible(q: vec2i, k: vec2i) -> bool {
  return (k.x >= 0) & ((u.causal == 0u) | (k.x <= q.x)) & ((u.window < 0) | (k.x >= q.x - u.window)) & ((k.y == q.y) | ((u.isEqual == 0u) & (k.y < q.y)));
}
fn keyRange(i0: u32, n: u32) -> vec2u {
  var low = 0;
  var high = i32(u.keys);
  if (u.byIndex != 0u && u.window >= 0) { low = clamp(i32(i0) + u.offset - u.window, 0, high); }
  if (u.byIndex != 0u && u.causal != 0u) { high = min(high, i32(min(i0 + n, u.queries)) + u.offset); }
  return vec2u(u32(low), u32(max(low, high)));
}
fn queryRange(j0: u32, n: u32) -> vec2u {
  var low = 0;
  var high = i32(u.queries);
  if (u.byIndex != 0u && u.causal != 0u) { low = clamp(i32(j0) - u.offset, 0, high); }
  if (u.byIndex != 0u && u.window >= 0) { high = min(high, i32(min(j0 + n, u.keys)) + u.window - u.offset); }
  return vec2u(u32(low), u32(max(low, high)));
}
fn joined(first: u32, low: u32, high: u32) -> vec4i {
  var e = vec4i(0x7fffffff, -0x7fffffff, 0x7fffffff, -0x7fffffff);
  for (var x = low / 16u; x * 16u < high; x++) {
    let p = mask[first + 2u * x];
    let s = mask[first + 2u * x + 1u];
    e = vec4i(min(e.x, p.x), max(e.y, p.y), min(e.z, s.x), max(e.w, s.y));
  }
  return e;
}
fn queryBounds(b: u32, i0: u32, n: u32) -> vec4i {
  let blocks = (u.queries + 15u) / 16u;
  return joined(u.batch * (u.queries + u.keys) + 2u * b * blocks, i0, min(i0 + n, u.queries));
}
fn keyBounds(b: u32, j0: u32, n: u32) -> vec4i {
  let queryBlocks = (u.queries + 15u) / 16u;
  let blocks = (u.keys + 15u) / 16u;
  return joined(u.batch * (u.queries + u.keys + 2u * queryBlocks) + 2u * b * blocks, j0, min(j0 + n, u.keys));
}
fn skips(q: vec4i, k: vec4i) -> bool {
  return k.y < 0 || (u.causal != 0u && k.x > q.y) || (u.window >= 0 && k.y < q.x - u.window) || k.z > q.w || (u.isEqual != 0u && k.w < q.z);
}
var<workgroup> own: array<vec4h, 144>;
var<workgroup> tile: array<vec4h, 72>;
var<workgroup> weights: array<f32, 144>;
var<workgroup> tops: array<f32, 128>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) {
  let tx = t % 8u;
  let ty = t / 8u;
  let D = 2u;
  let V = 2u;
  let N = 8u;
  let S = 8u;
  let h = w.y;
  let b = w.z;
  let kvHead = h / (u.heads / u.kvHeads);
  // The longest rows of a causal triangle first.
  let i0 = select(w.x, (u.queries - 1u) / 16u - w.x, u.causal != 0u) * 16u;
  for (var r = ty; r < 16u; r += 16u) {
    let source = (b * u.queries + min(i0 + r, u.queries - 1u)) * u.heads + h;
    for (var c = tx; c < D; c += 8u) { own[r * 9u + c] = vec4h(load_q(source, c) * u.scale); }
  }
  let query0 = queryAt(b, i0 + (ty + 0u));
  var m0 = -1e30;
  var l0 = 0.0;
  var o0_0 = vec4f();
  let range = keyRange(i0, 16u);
  let mine = queryBounds(b, i0, 16u);
  for (var j0 = range.x / 8u * 8u; j0 < range.y; j0 += 8u) {
    if (skips(mine, keyBounds(b, j0, 8u))) { continue; }
    workgroupBarrier();
    for (var r = ty; r < N; r += 16u) {
    let source = (b * u.keys + min(j0 + r, u.keys - 1u)) * u.kvHeads + kvHead;
    for (var c = tx; c < D; c += 8u) { tile[r * 9u + c] = vec4h(load_k(source, c)); }
  }
    workgroupBarrier();
    var s0_0 = 0.0;
    for (var d = 0u; d < D; d++) {
      let a0 = vec4f(own[(ty + 0u) * 9u + d]);
      let b0 = vec4f(tile[(tx + 0u) * 9u + d]);
      s0_0 += dot(a0, b0);
    }
    let key0 = keyAt(b, j0 + (tx + 0u));
    let seen0_0 = isVisible(query0, key0);
    s0_0 = select(-1e30, s0_0, seen0_0);
    tops[(ty + 0u) * 8u + tx] = s0_0;
    workgroupBarrier();
    var top0 = m0;
    for (var x = 0u; x < S; x++) { top0 = max(top0, tops[(ty + 0u) * 8u + x]); }
    let shrink0 = exp(m0 - top0);
    m0 = top0;
    l0 *= shrink0;
    o0_0 *= shrink0;
    // A tile without a visible key leaves the maximum at −1e30, where hidden scores would weigh exp(0).
    weights[(ty + 0u) * 9u + (tx + 0u)] = select(0.0, exp(s0_0 - m0), seen0_0);
    for (var r = ty; r < N; r += 16u) {
    let source = (b * u.keys + min(j0 + r, u.keys - 1u)) * u.kvHeads + kvHead;
    for (var c = tx; c < V; c += 8u) { tile[r * 9u + c] = vec4h(load_v(source, c)); }
  }
    workgroupBarrier();
    for (var j = 0u; j < N; j++) {
      let a0 = weights[(ty + 0u) * 9u + j]; l0 += a0;
      let b0 = vec4f(tile[j * 9u + (tx + 0u)]);
      o0_0 = fma(vec4f(a0), b0, o0_0);
    }
  }
  let i_0 = i0 + (ty + 0u);
  if (i_0 < u.queries) {
    let inverse = select(1.0 / l0, 0.0, l0 == 0.0);
    if ((tx + 0u) < V) { store_y((b * u.queries + i_0) * u.heads + h, (tx + 0u), o0_0 * inverse); }
    if (tx == 0u) { lse[(b * u.heads + h) * u.queries + i_0] = select(m0 + log(l0), 0.0, l0 == 0.0); }
  }
}