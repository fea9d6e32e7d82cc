
struct Uniforms { width: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> hidden: array<f32>;
@group(0) @binding(1) var<storage, read> residual: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> sum: array<f32>;
@group(0) @binding(4) var<uniform> u: Uniforms;
var<workgroup> parts: array<f32, 128>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) {
  let first = w.x * u.width;
  let end = first + u.width;

  var square = 0.0;
  for (var i = first + t; i < end; i += 128u) { square += hidden[i] * hidden[i]; }
  parts[t] = square;
  workgroupBarrier();
  for (var half = 64u; half > 0u; half /= 2u) {
    if (t < half) { parts[t] += parts[t + half]; }
    workgroupBarrier();
  }
  let scale = inverseSqrt(parts[0] / f32(u.width) + u.eps);
  for (var i = first + t; i < end; i += 128u) {
    let x = hidden[i] * scale * weight[i - first];
    sum[i] = residual[i] + x;
  }
}