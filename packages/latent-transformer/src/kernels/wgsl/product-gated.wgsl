
struct Uniforms { rows: u32, size: u32, first: u32, second: u32, last: u32, gate: u32, value: u32, width: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
fn load_x(row: u32, c: u32) -> vec4f {
  let at = row * u.width + 4u * c;
  return vec4f(x[at], select(0.0, x[at + 1u], 4u * c + 1u < u.width), select(0.0, x[at + 2u], 4u * c + 2u < u.width), select(0.0, x[at + 3u], 4u * c + 3u < u.width));
}
@group(0) @binding(1) var<storage, read> w0: array<f32>;
fn load_w0(row: u32, c: u32) -> vec4f {
  let at = row * u.width + 4u * c;
  return vec4f(w0[at], select(0.0, w0[at + 1u], 4u * c + 1u < u.width), select(0.0, w0[at + 2u], 4u * c + 2u < u.width), select(0.0, w0[at + 3u], 4u * c + 3u < u.width));
}


@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> u: Uniforms;
var<workgroup> parts: array<f32, 1024>;

fn weight(row: u32, c: u32) -> vec4f {
  let n = min(row, u.last);
  return load_w0(n, c);
}


@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let n0 = (w.x + w.y * groups.x) * 4u;
  if (n0 >= u.size) { return; }
  let m0 = w.z * 2u;
  var a0_0 = 0.0;
  var a0_1 = 0.0;
  var a0_2 = 0.0;
  var a0_3 = 0.0;
  var a0_4 = 0.0;
  var a0_5 = 0.0;
  var a0_6 = 0.0;
  var a0_7 = 0.0;
  var a1_0 = 0.0;
  var a1_1 = 0.0;
  var a1_2 = 0.0;
  var a1_3 = 0.0;
  var a1_4 = 0.0;
  var a1_5 = 0.0;
  var a1_6 = 0.0;
  var a1_7 = 0.0;
  for (var c = t; c < (u.width + 3u) / 4u; c += 64u) {
    let x0 = load_x(min(m0 + 0u, u.rows - 1u), c);
    let x1 = load_x(min(m0 + 1u, u.rows - 1u), c);
    let k0 = weight(n0 + 0u + u.gate, c);
    let k1 = weight(n0 + 1u + u.gate, c);
    let k2 = weight(n0 + 2u + u.gate, c);
    let k3 = weight(n0 + 3u + u.gate, c);
    let k4 = weight(n0 + 0u + u.value, c);
    let k5 = weight(n0 + 1u + u.value, c);
    let k6 = weight(n0 + 2u + u.value, c);
    let k7 = weight(n0 + 3u + u.value, c);
    a0_0 += dot(x0, k0);
    a0_1 += dot(x0, k1);
    a0_2 += dot(x0, k2);
    a0_3 += dot(x0, k3);
    a0_4 += dot(x0, k4);
    a0_5 += dot(x0, k5);
    a0_6 += dot(x0, k6);
    a0_7 += dot(x0, k7);
    a1_0 += dot(x1, k0);
    a1_1 += dot(x1, k1);
    a1_2 += dot(x1, k2);
    a1_3 += dot(x1, k3);
    a1_4 += dot(x1, k4);
    a1_5 += dot(x1, k5);
    a1_6 += dot(x1, k6);
    a1_7 += dot(x1, k7);
  }
  parts[0u + t] = a0_0;
  parts[64u + t] = a0_1;
  parts[128u + t] = a0_2;
  parts[192u + t] = a0_3;
  parts[256u + t] = a0_4;
  parts[320u + t] = a0_5;
  parts[384u + t] = a0_6;
  parts[448u + t] = a0_7;
  parts[512u + t] = a1_0;
  parts[576u + t] = a1_1;
  parts[640u + t] = a1_2;
  parts[704u + t] = a1_3;
  parts[768u + t] = a1_4;
  parts[832u + t] = a1_5;
  parts[896u + t] = a1_6;
  parts[960u + t] = a1_7;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    for (var i = t; i < 16u * half; i += 64u) {
      let at = i / half * 64u + i % half;
      parts[at] += parts[at + half];
    }
    workgroupBarrier();
  }
  if (t >= 8u) { return; }
  let m = m0 + t / 4u;
  let n = n0 + t % 4u;
  if (m >= u.rows || n >= u.size) { return; }
  let at = (t / 4u * 8u + t % 4u) * 64u;
  let gate = parts[at];
  let value = parts[at + 256u];
  y[m * u.size + n] = gate / (1.0 + exp(-gate)) * value;
}