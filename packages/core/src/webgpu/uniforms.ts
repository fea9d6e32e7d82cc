/** One member of a kernel's uniform struct. */
export interface Scalar {
  type: 'u32' | 'i32' | 'f32';
  value: number;
}

export const u32 = (value: number): Scalar => ({ type: 'u32', value });
export const i32 = (value: number): Scalar => ({ type: 'i32', value });
export const f32 = (value: number): Scalar => ({ type: 'f32', value });

/** Members by their WGSL names, in the order of the struct. */
export type Uniforms = Record<string, Scalar>;

/** `struct U {...}` and its binding: members are reached as `u.<name>`. */
export function uniformText(uniforms: Uniforms, binding: number): string {
  const members = Object.entries(uniforms).map(([name, { type }]) => `${name}: ${type}`);
  return `struct U { ${members.join(', ')} }\n@group(0) @binding(${binding}) var<uniform> u: U;`;
}

/** The bytes of that struct, rounded up to 16 so that few sizes of buffers are in use. */
export function uniformData(uniforms: Uniforms): ArrayBuffer {
  const values = Object.values(uniforms);
  const data = new ArrayBuffer(Math.ceil(values.length / 4) * 16);
  const view = new DataView(data);
  values.forEach(({ type, value }, i) => {
    if (type === 'f32') view.setFloat32(4 * i, value, true);
    else if (type === 'i32') view.setInt32(4 * i, value, true);
    else view.setUint32(4 * i, value, true);
  });
  return data;
}

/** Joins the members of several parts of a kernel. @throws Error when two parts use one name. */
export function joinUniforms(parts: readonly (Uniforms | undefined)[]): Uniforms {
  const out: Uniforms = {};
  for (const part of parts) {
    for (const [name, scalar] of Object.entries(part ?? {})) {
      if (name in out) throw new Error(`[webgpu] two parts of a kernel have a uniform \`${name}\`. Hint: prefix it with the name of the part.`);
      out[name] = scalar;
    }
  }
  return out;
}
