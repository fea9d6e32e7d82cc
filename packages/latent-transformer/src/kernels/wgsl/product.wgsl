
struct Uniforms { rows: u32, size: u32, first: u32, second: u32, last: u32, gate: u32, value: u32, width: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
fn load_x(row: u32, c: u32) -> vec4f { return x[row * (u.width / 4u) + c]; }
@group(0) @binding(1) var<storage, read> w0: array<vec4f>;
fn load_w0(row: u32, c: u32) -> vec4f { return w0[row * (u.width / 4u) + c]; }
@group(0) @binding(2) var<storage, read> w1: array<vec4f>;
fn load_w1(row: u32, c: u32) -> vec4f { return w1[row * (u.width / 4u) + c]; }
@group(0) @binding(3) var<storage, read> w2: array<vec4f>;
fn load_w2(row: u32, c: u32) -> vec4f { return w2[row * (u.width / 4u) + c]; }
@group(0) @binding(4) var<storage, read> b0: array<f32>;
@group(0) @binding(5) var<storage, read> b1: array<f32>;
@group(0) @binding(6) var<storage, read> b2: array<f32>;

@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<uniform> u: Uniforms;
var<workgroup> parts: array<f32, 256>;

fn weight(row: u32, c: u32) -> vec4f {
  let n = min(row, u.last);
  if (n < u.first) { return load_w0(n, c); }
  if (n < u.second) { return load_w1(n - u.first, c); }
  return load_w2(n - u.second, c);
}
fn bias(n: u32) -> f32 {
  if (n < u.first) { return b0[n]; }
  if (n < u.second) { return b1[n - u.first]; }
  return b2[n - u.second];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let n0 = (w.x + w.y * groups.x) * 4u;
  if (n0 >= u.size) { return; }
  let m0 = w.z * 1u;
  var a0_0 = 0.0;
  var a0_1 = 0.0;
  var a0_2 = 0.0;
  var a0_3 = 0.0;
  for (var c = t; c < (u.width + 3u) / 4u; c += 64u) {
    let x0 = load_x(min(m0 + 0u, u.rows - 1u), c);
    let k0 = weight(n0 + 0u, c);
    let k1 = weight(n0 + 1u, c);
    let k2 = weight(n0 + 2u, c);
    let k3 = weight(n0 + 3u, c);
    a0_0 += dot(x0, k0);
    a0_1 += dot(x0, k1);
    a0_2 += dot(x0, k2);
    a0_3 += dot(x0, k3);
  }
  parts[0u + t] = a0_0;
  parts[64u + t] = a0_1;
  parts[128u + t] = a0_2;
  parts[192u + t] = a0_3;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    for (var i = t; i < 4u * half; i += 64u) {
      let at = i / half * 64u + i % half;
      parts[at] += parts[at + half];
    }
    workgroupBarrier();
  }
  if (t >= 4u) { return; }
  let m = m0 + t / 4u;
  let n = n0 + t % 4u;
  if (m >= u.rows || n >= u.size) { return; }
  let at = (t / 4u * 4u + t % 4u) * 64u;
  y[m * u.size + n] = parts[at] + bias(n);
}