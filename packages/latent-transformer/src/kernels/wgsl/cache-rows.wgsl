
struct Uniforms { size: u32, width: u32, pad0: u32, pad1: u32 }
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<i32>;
@group(0) @binding(2) var<storage, read_write> cache: array<f32>;
@group(0) @binding(3) var<uniform> u: Uniforms;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * 64u + local;
  if (i >= u.size) { return; }
  let row = targets[i / u.width];
  if (row >= 0) { cache[u32(row) * u.width + i % u.width] = values[i]; }
}