/** Pieces of WGSL that kernels share. */
export const WGSL = {
  /** `sigmoid`, `sigmoid4`, `silu`, `silu4`, `swiglu(gate, up)`, `swiglu4`. The exponent is bounded: infinities need not survive on a GPU. */
  activations: /* wgsl */ `
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(min(-x, 80.0))); }
fn sigmoid4(x: vec4f) -> vec4f { return 1.0 / (1.0 + exp(min(-x, vec4f(80.0)))); }
fn silu(x: f32) -> f32 { return x * sigmoid(x); }
fn silu4(x: vec4f) -> vec4f { return x * sigmoid4(x); }
fn swiglu(gate: f32, up: f32) -> f32 { return silu(gate) * up; }
fn swiglu4(gate: vec4f, up: vec4f) -> vec4f { return silu4(gate) * up; }
`,
  /** Four packed values as vec4f: `bf16x4(two words)`, `f16x4(two words)`, `int8x4(word)`, `int4x4(half a word)`. */
  unpack: /* wgsl */ `
fn bf16x4(v: vec2u) -> vec4f { return bitcast<vec4f>(vec4u(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u)); }
fn f16x4(v: vec2u) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn int8x4(v: u32) -> vec4f { return vec4f(vec4i(i32(v << 24u), i32(v << 16u), i32(v << 8u), i32(v)) >> vec4u(24u)); }
fn int4x4(v: u32) -> vec4f { return vec4f(vec4i(i32(v << 28u), i32(v << 24u), i32(v << 20u), i32(v << 16u)) >> vec4u(28u)); }
`,
};

/** The builtins of a kernel whose workgroups are counted in one row, folded by `workgroupGrid`: `group` is the workgroup's number, `t` the thread's. */
export const mainOf = (threads: number, body: string): string => /* wgsl */ `
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = w.x + w.y * groups.x;
${body}
}`;

/**
 * `fn <name>(v, t)`: the sum of `v` (or what `join` makes of x and y) over the `lanes` threads that t belongs to, in a fixed order, given to
 * all of them. To be called by all threads of the workgroup.
 */
export function reduction(name: string, threads: number, { type = 'f32', join = 'x + y', lanes = threads }: { type?: string; join?: string; lanes?: number } = {}): string {
  return /* wgsl */ `
var<workgroup> ${name}Part: array<${type}, ${threads}>;
fn ${name}Join(x: ${type}, y: ${type}) -> ${type} { return ${join}; }
fn ${name}(v: ${type}, t: u32) -> ${type} {
  workgroupBarrier();
  ${name}Part[t] = v;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half /= 2u) {
    if (t % ${lanes}u < half) { ${name}Part[t] = ${name}Join(${name}Part[t], ${name}Part[t + half]); }
    workgroupBarrier();
  }
  return ${name}Part[t - t % ${lanes}u];
}`;
}
