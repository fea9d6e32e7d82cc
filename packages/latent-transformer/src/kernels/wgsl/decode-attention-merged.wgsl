
struct Uniforms { size: u32, shares: u32, valueDim: u32, pad: u32 }
@group(0) @binding(0) var<storage, read> sums: array<vec4f>;
@group(0) @binding(1) var<storage, read> marks: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
fn store_y(row: u32, c: u32, value: vec4f) {
  let at = row * u.valueDim + 4u * c;
  if (4u * c + 0u < u.valueDim) { y[at + 0u] = value[0]; }
  if (4u * c + 1u < u.valueDim) { y[at + 1u] = value[1]; }
  if (4u * c + 2u < u.valueDim) { y[at + 2u] = value[2]; }
  if (4u * c + 3u < u.valueDim) { y[at + 3u] = value[3]; }
}
@group(0) @binding(3) var<uniform> u: Uniforms;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * 64u + local;
  if (i >= u.size) { return; }
  let V = (u.valueDim + 3u) / 4u;
  let head = i / V;
  var top = -1e30;
  for (var s = head * u.shares; s < (head + 1u) * u.shares; s++) { top = max(top, marks[s].x); }
  var total = 0.0;
  var sum = vec4f();
  for (var s = head * u.shares; s < (head + 1u) * u.shares; s++) {
    let weight = exp(marks[s].x - top);
    total += weight * marks[s].y;
    sum += weight * sums[s * V + i % V];
  }
  store_y(head, i % V, sum * select(1.0 / total, 0.0, total == 0.0));
}