/** Workgroup memory and a function that adds up `v` over the 64 threads of a workgroup, in a fixed order; every thread gets the sum. */
export const SUM_OF_WORKGROUP = `
var<workgroup> parts: array<vec4f, 64>;
fn sumOfWorkgroup(local: u32, v: vec4f) -> vec4f {
  parts[local] = v;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (local < half) { parts[local] += parts[local + half]; }
    workgroupBarrier();
  }
  return parts[0];
}
`;
