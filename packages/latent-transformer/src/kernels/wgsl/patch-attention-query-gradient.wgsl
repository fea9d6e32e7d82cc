
struct Uniforms { batch: u32, length: u32, patches: u32, slots: u32, heads: u32, dim: u32, valueDim: u32, scale: f32 }
alias Channels = f32;
fn inner(a: f32, b: f32) -> f32 { return a * b; }
@group(0) @binding(0) var<storage, read> q: array<Channels>;
@group(0) @binding(1) var<storage, read> k: array<Channels>;
@group(0) @binding(2) var<storage, read> v: array<Channels>;
@group(0) @binding(3) var<storage, read> dy: array<Channels>;
@group(0) @binding(4) var<storage, read> index: array<i32>;
@group(0) @binding(5) var<storage, read_write> dq: array<Channels>;
@group(0) @binding(6) var<storage, read_write> kept: array<f32>;
@group(0) @binding(7) var<uniform> u: Uniforms;

fn seen(i: u32) -> vec2u {
  let at = 2u * (i / u.slots);
  return vec2u(u32(index[at]), u32(index[at + 1u]));
}
fn total() -> u32 { return u.batch * u.patches * u.slots; }

fn score(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.dim;
  var s = 0.0;
  for (var c = 0u; c < u.dim; c++) { s += inner(q[i * u.dim + c], k[at + c]); }
  return s * u.scale;
}
fn softmax(i: u32, run: vec2u, h: u32) -> vec2f {
  var top = -1e30;
  var sum = 0.0;
  for (var j = 0u; j < run.y; j++) {
    let s = score(i, run.x + j, h);
    let next = max(top, s);
    sum = sum * exp(top - next) + exp(s - next);
    top = next;
  }
  return vec2f(top, sum);
}

fn slope(i: u32, key: u32, h: u32) -> f32 {
  let at = (key * u.heads + h) * u.valueDim;
  var s = 0.0;
  for (var c = 0u; c < u.valueDim; c++) { s += inner(dy[i * u.valueDim + c], v[at + c]); }
  return s;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * 64u + local;
  if (i >= total() * u.heads) { return; }
  let h = i % u.heads;
  let run = seen(i / u.heads);
  for (var d = 0u; d < u.dim; d++) { dq[i * u.dim + d] = Channels(); }
  let norm = softmax(i, run, h);
  var mean = 0.0;
  for (var j = 0u; j < run.y; j++) {
    let key = run.x + j;
    mean += exp(score(i, key, h) - norm.x) / norm.y * slope(i, key, h);
  }
  {
    kept[2u * i] = norm.x + log(max(norm.y, 1e-30));
    kept[2u * i + 1u] = mean;
  }
  for (var j = 0u; j < run.y; j++) {
    let key = run.x + j;
    let ds = exp(score(i, key, h) - norm.x) / norm.y * (slope(i, key, h) - mean) * u.scale;
    for (var d = 0u; d < u.dim; d++) { dq[i * u.dim + d] += ds * k[(key * u.heads + h) * u.dim + d]; }
  }
}