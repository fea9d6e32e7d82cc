
struct Uniforms {
  batch: u32, queries: u32, keys: u32, heads: u32,
  kvHeads: u32, causal: u32, isEqual: u32, byIndex: u32,
  offset: i32, window: i32, scale: f32, dim: u32,
  valueDim: u32, columns: u32, side: u32, pad: u32,
}
@group(0) @binding(0) var<storage, read> querySegments: array<i32>;
@group(0) @binding(1) var<storage, read> keySegments: array<i32>;
@group(0) @binding(2) var<storage, read> keyLengths: array<i32>;
@group(0) @binding(3) var<storage, read> queryPositions: array<i32>;
@group(0) @binding(4) var<storage, read> keyPositions: array<i32>;
@group(0) @binding(5) var<storage, read_write> mask: array<vec2i>;
@group(0) @binding(6) var<uniform> u: Uniforms;

fn query(n: u32) -> vec2i {
  return vec2i(queryPositions[n], querySegments[n]);
}
fn key(n: u32) -> vec2i {
  var position = keyPositions[n];
  if (i32(n % u.keys) >= keyLengths[n / u.keys]) { position = -1; }
  return vec2i(position, keySegments[n]);
}
fn extend(e: vec4i, k: vec2i) -> vec4i {
  return vec4i(min(e.x, k.x), max(e.y, k.x), min(e.z, k.y), max(e.w, k.y));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  var n = (w.x + w.y * groups.x) * 64u + local;
  let queries = u.batch * u.queries;
  let keys = u.batch * u.keys;
  if (n < queries) { mask[n] = query(n); return; }
  n -= queries;
  if (n < keys) { mask[queries + n] = key(n); return; }
  n -= keys;
  let queryBlocks = (u.queries + 15u) / 16u;
  let keyBlocks = (u.keys + 15u) / 16u;
  if (n >= u.batch * (queryBlocks + keyBlocks)) { return; }
  let at = queries + keys + 2u * n;
  let isQuery = n < u.batch * queryBlocks;
  if (!isQuery) { n -= u.batch * queryBlocks; }
  let blocks = select(keyBlocks, queryBlocks, isQuery);
  let length = select(u.keys, u.queries, isQuery);
  let first = n % blocks * 16u;
  var e = vec4i(0x7fffffff, -0x7fffffff, 0x7fffffff, -0x7fffffff);
  for (var i = first; i < min(first + 16u, length); i++) {
    if (isQuery) {
      e = extend(e, query(n / blocks * length + i));
    } else {
      let k = key(n / blocks * length + i);
      if (k.x >= 0) { e = extend(e, k); }
    }
  }
  mask[at] = e.xy;
  mask[at + 1u] = e.zw;
}