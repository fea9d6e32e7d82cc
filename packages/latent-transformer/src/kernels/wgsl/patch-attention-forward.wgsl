
struct Uniforms { batch: u32, length: u32, patches: u32, slots: u32, heads: u32, dim: u32, valueDim: u32, scale: f32 }
alias Channels = vec4f;
fn inner(a: vec4f, b: vec4f) -> f32 { return dot(a, b); }
@group(0) @binding(0) var<storage, read> q: array<Channels>;
@group(0) @binding(1) var<storage, read> k: array<Channels>;
@group(0) @binding(2) var<storage, read> v: array<Channels>;
@group(0) @binding(3) var<storage, read> index: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<Channels>;
@group(0) @binding(5) var<uniform> u: Uniforms;

fn seen(i: u32) -> vec2u {
  let id = index[i];
  if (id < 0 || u32(id) >= u.patches) { return vec2u(0u, 0u); }
  return vec2u((i / u.length * u.patches + u32(id)) * u.slots, u.slots);
}
fn total() -> u32 { return u.batch * u.length; }

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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * 64u + local;
  if (i >= total() * u.heads) { return; }
  let h = i % u.heads;
  let run = seen(i / u.heads);
  for (var d = 0u; d < u.valueDim; d++) { y[i * u.valueDim + d] = Channels(); }
  let norm = softmax(i, run, h);
  for (var j = 0u; j < run.y; j++) {
    let p = exp(score(i, run.x + j, h) - norm.x) / norm.y;
    let at = ((run.x + j) * u.heads + h) * u.valueDim;
    for (var d = 0u; d < u.valueDim; d++) { y[i * u.valueDim + d] += p * v[at + d]; }
  }
}