import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';

/** A tensor that a kernel reads, as WGSL sees it: `var<storage, read> name: array<type>`. */
export interface Binding {
  name: string;
  /** float32 tensors as `f32` or `vec4f`, int32 ones as `i32`, `u32`, `vec2u` or `vec4u`. */
  type: 'f32' | 'vec4f' | 'i32' | 'u32' | 'vec2u' | 'vec4u';
  tensor: TensorInfo;
}

/** A tensor that a kernel writes: a new one of this shape, or an existing one changed in place. */
export interface Output {
  name: string;
  type: Binding['type'];
  out: TensorInfo | { shape: readonly number[]; dtype?: DataType };
}

/** Reads of several parts of a kernel in order; a name that comes twice is bound once. */
export function joinBindings(parts: readonly (readonly Binding[] | undefined)[]): Binding[] {
  const out = new Map<string, Binding>();
  for (const binding of parts.flatMap((p) => p ?? [])) {
    const known = out.get(binding.name);
    if (known && (known.tensor.dataId !== binding.tensor.dataId || known.type !== binding.type)) {
      throw new Error(`[webgpu] two parts of a kernel bind different tensors as \`${binding.name}\`. Hint: prefix it with the name of the part.`);
    }
    out.set(binding.name, binding);
  }
  return [...out.values()];
}

/** The declarations: reads from binding 0, then what is written. */
export function bindingText(reads: readonly Pick<Binding, 'name' | 'type'>[], writes: readonly Pick<Output, 'name' | 'type'>[]): string {
  const line = (access: string, { name, type }: Pick<Binding, 'name' | 'type'>, at: number) => `@group(0) @binding(${at}) var<storage, ${access}> ${name}: array<${type}>;`;
  return [...reads.map((b, i) => line('read', b, i)), ...writes.map((o, i) => line('read_write', o, reads.length + i))].join('\n');
}
