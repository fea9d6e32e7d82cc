enable subgroups;
requires subgroup_id;
diagnostic(off, subgroup_uniformity);

struct Uniforms { batch: u32, length: u32, patches: u32, slots: u32, heads: u32, dim: u32, valueDim: u32, scale: f32 }
alias Channels = vec4f;
fn inner(a: vec4f, b: vec4f) -> f32 { return dot(a, b); }
@group(0) @binding(0) var<storage, read> q: array<Channels>;
@group(0) @binding(1) var<storage, read> k: array<Channels>;
@group(0) @binding(2) var<storage, read> v: array<Channels>;
@group(0) @binding(3) var<storage, read> dy: array<Channels>;
@group(0) @binding(4) var<storage, read> kept: array<f32>;
@group(0) @binding(5) var<storage, read> index: array<i32>;
@group(0) @binding(6) var<storage, read_write> dk: array<Channels>;
@group(0) @binding(7) var<storage, read_write> dv: array<Channels>;
@group(0) @binding(8) var<uniform> u: Uniforms;
var<private> lane: u32;
var<private> turns: u32;
fn teamSum(v: f32) -> f32 {
  var x = v;
  x = x + subgroupShuffleXor(x, 1u);
  x = x + subgroupShuffleXor(x, 2u);
  x = x + subgroupShuffleXor(x, 4u);
  return x;
}

fn seen(i: u32) -> vec2u {
  let id = index[i];
  if (id < 0 || u32(id) >= u.patches) { return vec2u(0u, 0u); }
  return vec2u((i / u.length * u.patches + u32(id)) * u.slots, u.slots);
}
fn total() -> u32 { return u.batch * u.length; }

fn score(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.dim;
  var mine = 0.0;
  for (var d = 0u; d < u.dim; d += 8u) {
    let c = min(d + lane, u.dim - 1u);
    mine += select(0.0, inner(q[i * u.dim + c], k[at + c]), d + lane < u.dim);
  }
  let s = teamSum(mine);
  return s * u.scale;
}
fn softmax(i: u32, run: vec2u, h: u32) -> vec2f {
  var top = -1e30;
  var sum = 0.0;
  for (var j = 0u; j < turns; j++) {
    let s = score(i, run.x + min(j, max(run.y, 1u) - 1u), h);
    let next = max(top, select(top, s, j < run.y));
    sum = sum * exp(top - next) + select(0.0, exp(s - next), j < run.y);
    top = next;
  }
  return vec2f(top, sum);
}

fn slope(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.valueDim;
  var mine = 0.0;
  for (var d = 0u; d < u.valueDim; d += 8u) {
    let c = min(d + lane, u.valueDim - 1u);
    mine += select(0.0, inner(dy[i * u.valueDim + c], v[at + c]), d + lane < u.valueDim);
  }
  let s = teamSum(mine);
  return s;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) subgroupSize: u32, @builtin(subgroup_invocation_id) subgroupLane: u32) {
  let t = subgroup * subgroupSize + subgroupLane;
  lane = t % 8u;
  let n = (w.x + w.y * groups.x) * 8u + t / 8u;
  let isOwn = n < total() * u.heads;
  let i = min(n, total() * u.heads - 1u);
  let h = i % u.heads;
  var run = seen(i / u.heads);
  if (!isOwn) { run.y = 0u; }
  turns = subgroupMax(run.y);
  for (var d = lane; d < select(0u, u.dim, isOwn); d += 8u) { dk[i * u.dim + d] = Channels(); }
  for (var d = lane; d < select(0u, u.valueDim, isOwn); d += 8u) { dv[i * u.valueDim + d] = Channels(); }
  for (var j = 0u; j < turns; j++) {
    let query = (run.x + min(j, max(run.y, 1u) - 1u)) * u.heads + h;
    let p = select(0.0, exp(score(query, i / u.heads, h) - kept[2u * query]), j < run.y);
    let ds = p * (slope(query, i / u.heads, h) - kept[2u * query + 1u]) * u.scale;
    for (var d = lane; d < select(0u, u.dim, j < run.y); d += 8u) { dk[i * u.dim + d] += ds * q[query * u.dim + d]; }
    for (var d = lane; d < select(0u, u.valueDim, j < run.y); d += 8u) { dv[i * u.valueDim + d] += p * dy[query * u.valueDim + d]; }
  }
}