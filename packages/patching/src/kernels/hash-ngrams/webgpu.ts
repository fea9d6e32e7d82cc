import { dispatchWebGpu, workgroupGrid, type FastKernel } from '@bytelm/core';
import { HASH_PRIMES } from '../../hash/primes.js';
import { hashShape, slotsOf, type HashNgramAttrs } from './attrs.js';

const GROUP = 64;

/**
 * A thread hashes one position with one function, all sizes: 64-bit values as vec2u (low, high). The remainder takes the bits from the top,
 * as many at a time as leave it below 2^32.
 */
const code = (sizes: readonly number[], numFunctions: number): string => {
  const slots = slotsOf(sizes);
  const primes = HASH_PRIMES.slice(0, numFunctions).map((p) => `vec2u(${p >>> 0}u, ${Math.floor(p / 0x100000000)}u)`);
  return /* wgsl */ `
struct Uniforms { batch: u32, length: u32, history: u32, count: u32, vocabulary: u32, bits: u32, wrap: u32, pad: u32 }
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;
@group(0) @binding(2) var<uniform> u: Uniforms;
const SLOTS = array<i32, ${slots.length}>(${[...slots].join(', ')});
const PRIMES = array<vec2u, ${numFunctions}>(${primes.join(', ')});

fn product(a: vec2u, b: vec2u) -> vec2u {
  let a0 = a.x & 0xffffu; let a1 = a.x >> 16u;
  let b0 = b.x & 0xffffu; let b1 = b.x >> 16u;
  let p00 = a0 * b0; let p01 = a0 * b1; let p10 = a1 * b0;
  let middle = (p00 >> 16u) + (p01 & 0xffffu) + (p10 & 0xffffu);
  let high = a1 * b1 + (p01 >> 16u) + (p10 >> 16u) + (middle >> 16u) + a.y * b.x + a.x * b.y;
  return vec2u((middle << 16u) | (p00 & 0xffffu), high);
}

fn fold(start: u32, word: u32) -> u32 {
  var r = start;
  var left = 32u;
  while (left > 0u) {
    let k = min(u.bits, left);
    left -= k;
    r = ((r << k) | ((word >> left) & ((1u << k) - 1u))) % u.vocabulary;
  }
  return r;
}

@compute @workgroup_size(${GROUP})
fn main(@builtin(workgroup_id) w: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (w.x + w.y * groups.x) * ${GROUP}u + local;
  if (i >= u.count * ${numFunctions}u) { return; }
  let f = i / u.count;
  let out = u.length - u.history;
  let b = (i % u.count) / out;
  let t = i32(u.history + i % out);
  var primes = PRIMES;
  var slots = SLOTS;
  let prime = primes[f];
  var h = vec2u(0u);
  for (var n = 1; n <= ${slots.length - 1}; n++) {
    h = product(h, prime);
    let at = t - n + 1;
    if (at >= 0) {
      let low = h.x + u32(ids[b * u.length + u32(at)]);
      h = vec2u(low, h.y + select(0u, 1u, low < h.x));
    }
    let slot = slots[n];
    if (slot < 0) { continue; }
    var r = fold(fold(0u, h.y), h.x);
    if (h.y >= 0x80000000u) { r = select(r + u.vocabulary - u.wrap, r - u.wrap, r >= u.wrap); }
    y[(f * ${sizes.length}u + u32(slot)) * u.count + i % u.count] = i32(r);
  }
}`;
};

export const webgpuHashNgrams: FastKernel<'ids', HashNgramAttrs> = ({ inputs: { ids }, attrs, backend }) => {
  const { sizes, numFunctions, vocabularySize: V, history } = attrs;
  const [batch, length] = ids!.shape as [number, number];
  const count = batch * (length - history);
  // 1 to 31 bits, so that (V − 1)·2^bits + 2^bits − 1 fits 32.
  const bits = Math.min(31, Math.clz32(V - 1));
  const wrap = Number((1n << 64n) % BigInt(V));
  return dispatchWebGpu(backend, {
    key: `hash n-grams ${sizes.join()} x ${numFunctions}`,
    code: code(sizes, numFunctions),
    inputs: [ids!],
    outputs: [{ shape: hashShape(ids!.shape, attrs), dtype: 'int32' }],
    uniforms: Uint32Array.of(batch, length, history, count, V, bits, wrap, 0),
    workgroups: workgroupGrid(backend, Math.ceil((count * numFunctions) / GROUP)),
  });
};
