/** Builders of small archives and pickles for the tests of this folder: what a hostile or damaged file would hold. */

type Member = readonly [name: string, contents: Uint8Array];

/** A stored zip archive; with `zip64` every size and offset is written in the 64-bit records, as for files beyond 4 GiB. */
export function zip(members: readonly Member[], { zip64 = false, descriptors = false } = {}): Uint8Array {
  const out: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let at = 0;
  const push = (bytes: Uint8Array) => {
    out.push(bytes);
    at += bytes.length;
  };
  for (const [name, contents] of members) {
    const start = at;
    const title = new TextEncoder().encode(name);
    const hidden = descriptors ? 0 : contents.length;
    // The local extra field differs in length from the central one: readers must not mix them up.
    const padding = new Uint8Array(6);
    push(record([[4, 0x04034b50], [2, 20], [2, descriptors ? 0x808 : 0x800], [2, 0], [4, 0], [4, 0], [4, hidden], [4, hidden], [2, title.length], [2, padding.length]]));
    push(title);
    push(padding);
    push(contents);
    if (descriptors) push(record([[4, 0x08074b50], [4, 0], [4, contents.length], [4, contents.length]]));
    const extra = zip64 ? record([[2, 1], [2, 24], [8, contents.length], [8, contents.length], [8, start]]) : new Uint8Array(0);
    const size = zip64 ? 0xffffffff : contents.length;
    central.push(
      record([[4, 0x02014b50], [2, 20], [2, 20], [2, 0x800], [2, 0], [4, 0], [4, 0], [4, size], [4, size], [2, title.length], [2, extra.length], [2, 0], [2, 0], [2, 0], [4, 0], [4, zip64 ? 0xffffffff : start]]),
      title,
      extra,
    );
  }
  const directory = at;
  central.forEach(push);
  const size = at - directory;
  if (zip64) {
    const end64 = at;
    push(record([[4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, members.length], [8, members.length], [8, size], [8, directory]]));
    push(record([[4, 0x07064b50], [4, 0], [8, end64], [4, 1]]));
  }
  const n = zip64 ? 0xffff : members.length;
  push(record([[4, 0x06054b50], [2, 0], [2, 0], [2, n], [2, n], [4, zip64 ? 0xffffffff : size], [4, zip64 ? 0xffffffff : directory], [2, 0]]));
  return concat(out);
}

function record(fields: readonly (readonly [width: number, value: number])[]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((n, [w]) => n + w, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [width, value] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += width;
  }
  return bytes;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Pieces of a pickle: numbers are bytes, strings are written as they are (latin-1). */
export const bytes = (...parts: (number | string | Uint8Array)[]): Uint8Array =>
  concat(parts.map((p) => (typeof p === 'number' ? Uint8Array.of(p) : typeof p === 'string' ? Uint8Array.from(p, (c) => c.charCodeAt(0)) : p)));

/** SHORT_BINUNICODE. */
export const text = (s: string): Uint8Array => bytes(0x8c, s.length, s);
/** BININT. */
export const int = (n: number): Uint8Array => bytes('J', new Uint8Array(Int32Array.of(n).buffer));
/** GLOBAL. */
export const global = (module: string, name: string): Uint8Array => bytes('c', module, '\n', name, '\n');
export const tuple = (...items: Uint8Array[]): Uint8Array => bytes('(', ...items, 't');
export const dict = (...entries: [Uint8Array, Uint8Array][]): Uint8Array => bytes('}(', ...entries.flat(), 'u');
export const pickle = (...parts: Uint8Array[]): Uint8Array => bytes(0x80, 4, ...parts, '.');

export interface PickledTensor {
  storage?: string;
  type?: string;
  numel?: number;
  offset?: number;
  shape: readonly number[];
  strides: readonly number[];
}

/** A call of `_rebuild_tensor_v2`. */
export function tensor({ storage = '0', type = 'FloatStorage', numel = 8, offset = 0, shape, strides }: PickledTensor): Uint8Array {
  const id = bytes(tuple(text('storage'), global('torch', type), text(storage), text('cpu'), int(numel)), 'Q');
  const args = tuple(id, int(offset), tuple(...shape.map(int)), tuple(...strides.map(int)), bytes(0x89), bytes(global('collections', 'OrderedDict'), ')R'));
  return bytes(global('torch._utils', '_rebuild_tensor_v2'), args, 'R');
}

/** A file as torch.save writes it. */
export const torchFile = (data: Uint8Array, storages: Record<string, Uint8Array> = {}, options: Parameters<typeof zip>[1] = {}): Uint8Array =>
  zip([['m/data.pkl', data], ['m/byteorder', bytes('little')], ...Object.entries(storages).map(([key, v]) => [`m/data/${key}`, v] as const), ['m/version', bytes('3\n')]], options);

export const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
