
struct Uniforms { rows: u32, length: u32, heads: u32, dim: u32, half: u32, offset: u32, interleaved: u32, sign: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> sines: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * 64u + local;
  let parts = u.dim - u.half;
  if (i >= u.rows * parts) { return; }
  let row = i / parts;
  let part = i % parts;
  let base = row * u.dim;
  if (part >= u.half) {
    y[base + u.half + part] = x[base + u.half + part];
    return;
  }
  let token = row / u.heads;
  let angle = u32(positions[token]) * u.half + part;
  let first = base + select(part, 2u * part, u.interleaved != 0u);
  let second = select(first + u.half, first + 1u, u.interleaved != 0u);
  let a = x[first];
  let b = x[second];
  let c = cosines[angle];
  let s = sines[angle] * u.sign;
  y[first] = a * c - b * s;
  y[second] = a * s + b * c;
}