
struct Uniforms { qDim: u32, kvDim: u32, headDim: u32, half: u32, capacity: u32, interleaved: u32, eps: f32, pad: u32 }
@group(0) @binding(0) var<storage, read> rows: array<i32>;
@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> sines: array<f32>;
@group(0) @binding(3) var<storage, read> queryNorm: array<f32>;
@group(0) @binding(4) var<storage, read> keyNorm: array<f32>;
@group(0) @binding(5) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(6) var<storage, read_write> k: array<f32>;
@group(0) @binding(7) var<storage, read_write> v: array<f32>;
@group(0) @binding(8) var<uniform> u: Uniforms;
var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3u, @builtin(local_invocation_index) t: u32) {
  let first = select(u.qDim + select(0u, u.kvDim, w.x == 2u), 0u, w.x == 0u);
  let size = select(u.kvDim, u.qDim, w.x == 0u);
  let isQuery = first < u.qDim;
  let isValue = first >= u.qDim + u.kvDim;
  let row = w.y * (u.qDim + 2u * u.kvDim) + first;
  let cacheRow = rows[w.y * 5u];
  if (cacheRow < 0) { return; }
  var cacheFirst = 0u;
  if (!isQuery) {
    let slot = u32(cacheRow) * u.capacity + u32(rows[w.y * 5u + 2u]);
    cacheFirst = slot * u.kvDim + first - u.qDim;
  }
  if (isValue) {
    for (var i = t; i < size; i += 64u) { v[cacheFirst - u.kvDim + i] = qkv[row + i]; }
    return;
  }
  var square = 0.0;
  for (var i = t; i < size; i += 64u) { square += qkv[row + i] * qkv[row + i]; }
  parts[t] = square;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (t < half) { parts[t] += parts[t + half]; }
    workgroupBarrier();
  }
  let scale = inverseSqrt(parts[0] / f32(size) + u.eps);
  let channels = u.headDim - u.half;
  for (var n = t; n < size / u.headDim * channels; n += 64u) {
    let head = n / channels * u.headDim;
    let part = n % channels;
    if (part >= u.half) {
      put(isQuery, row, cacheFirst, head + u.half + part, normed(isQuery, row, head + u.half + part, scale));
      continue;
    }
    let one = head + select(part, 2u * part, u.interleaved != 0u);
    let two = select(one + u.half, one + 1u, u.interleaved != 0u);
    let a = normed(isQuery, row, one, scale);
    let b = normed(isQuery, row, two, scale);
    let angle = u32(rows[w.y * 5u + 1u]) * u.half + part;
    put(isQuery, row, cacheFirst, one, a * cosines[angle] - b * sines[angle]);
    put(isQuery, row, cacheFirst, two, a * sines[angle] + b * cosines[angle]);
  }
}

fn put(isQuery: bool, row: u32, cacheFirst: u32, i: u32, value: f32) {
  if (isQuery) { qkv[row + i] = value; } else { k[cacheFirst + i] = value; }
}
fn normed(isQuery: bool, row: u32, i: u32, scale: f32) -> f32 {
  return qkv[row + i] * scale * select(keyNorm[min(i, arrayLength(&keyNorm) - 1u)], queryNorm[min(i, arrayLength(&queryNorm) - 1u)], isQuery);
}