/**
 * What a wasm module contains that must not land in tfjs' memory: a data segment would silently overwrite tfjs' own static data.
 * @param {Uint8Array} bytes the module
 * @returns {string[]} names of forbidden sections and imports; empty when all is well
 */
export function leafProblems(bytes) {
  const problems = [];
  const module = new WebAssembly.Module(bytes);
  const forbidden = { 4: 'table', 5: 'memory', 8: 'start', 9: 'element', 11: 'data', 12: 'datacount' };
  let p = 8;
  const leb = () => {
    let value = 0;
    let shift = 0;
    let byte;
    do {
      byte = bytes[p++];
      value |= (byte & 127) << shift;
      shift += 7;
    } while (byte & 128);
    return value >>> 0;
  };
  while (p < bytes.length) {
    const id = bytes[p++];
    const size = leb();
    if (forbidden[id]) problems.push(forbidden[id]);
    p += size;
  }
  for (const i of WebAssembly.Module.imports(module)) if (i.module !== 'env' || i.name !== 'memory') problems.push(`import ${i.module}.${i.name}`);
  return problems;
}
