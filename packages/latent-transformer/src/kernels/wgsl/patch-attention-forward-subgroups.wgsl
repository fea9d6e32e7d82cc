enable subgroups;
requires subgroup_id;
diagnostic(off, subgroup_uniformity);

struct Uniforms { batch: u32, length: u32, patches: u32, slots: u32, heads: u32, dim: u32, valueDim: u32, scale: f32 }
alias Channels = f32;
fn inner(a: f32, b: f32) -> f32 { return a * b; }
@group(0) @binding(0) var<storage, read> q: array<Channels>;
@group(0) @binding(1) var<storage, read> k: array<Channels>;
@group(0) @binding(2) var<storage, read> v: array<Channels>;
@group(0) @binding(3) var<storage, read> index: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<Channels>;
@group(0) @binding(5) var<uniform> u: Uniforms;
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
  let at = 2u * (i / u.slots);
  return vec2u(u32(index[at]), u32(index[at + 1u]));
}
fn total() -> u32 { return u.batch * u.patches * u.slots; }

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

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) subgroupSize: u32, @builtin(subgroup_invocation_id) subgroupLane: u32) {
  let t = subgroup * subgroupSize + subgroupLane;
  lane = t % 8u;
  let n = (w.x + w.y * groups.x) * 16u + t / 8u;
  let isOwn = n < total() * u.heads;
  let i = min(n, total() * u.heads - 1u);
  let h = i % u.heads;
  var run = seen(i / u.heads);
  if (!isOwn) { run.y = 0u; }
  turns = subgroupMax(run.y);
  for (var d = lane; d < select(0u, u.valueDim, isOwn); d += 8u) { y[i * u.valueDim + d] = Channels(); }
  let norm = softmax(i, run, h);
  for (var j = 0u; j < turns; j++) {
    let p = select(0.0, exp(score(i, run.x + min(j, max(run.y, 1u) - 1u), h) - norm.x) / norm.y, j < run.y);
    let at = ((run.x + min(j, max(run.y, 1u) - 1u)) * u.heads + h) * u.valueDim;
    for (var d = lane; d < select(0u, u.valueDim, j < run.y); d += 8u) { y[i * u.valueDim + d] += p * v[at + d]; }
  }
}