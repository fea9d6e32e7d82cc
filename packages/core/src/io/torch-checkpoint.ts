import { CheckpointError } from '../errors.js';
import { openBytes, type BytesLike, type ByteSource, type OpenBytesOptions } from './byte-source.js';
import { readPickle, type PickleValue } from './pickle.js';
import { decodeValues, DTYPE_BYTES, noSuchTensor, sizeOf, type HostTensor, type RawTensor, type ReadOptions, type TensorInfo, type TensorSource } from './tensor-source.js';
import { gatherView, isContiguous, isTorchConstant, spanOf, torchCallables, torchStorage, TorchTensor } from './torch-tensors.js';
import { readZipDirectory, readZipEntry, zipDataStart, type ZipEntry } from './zip.js';

export interface OpenTorchOptions extends OpenBytesOptions {
  /** Leave out objects of foreign classes instead of refusing the file. Their code is never run. */
  skipForeign?: boolean | undefined;
}

/** A `.pt` file opened for reading. Plain numbers, strings and booleans beside the tensors are in `metadata`, as text. */
export interface TorchCheckpoint extends TensorSource {
  /** Classes and functions whose objects were left out (`skipForeign`). */
  readonly foreign: readonly string[];
}

/**
 * Opens a file that `torch.save` wrote (PyTorch 1.6 or later: a zip archive), lazily. Tensors are found in dicts of any depth; nested keys
 * are joined with dots. Nothing that the pickle names is ever run: only tensors, parameters and plain data are understood.
 *
 * @throws CheckpointError naming file and tensor, or the class or function that is refused.
 * @example
 * const source = await openTorchCheckpoint('hnet_1stage_XL.pt');
 */
export async function openTorchCheckpoint(source: BytesLike, options: OpenTorchOptions = {}): Promise<TorchCheckpoint> {
  const bytes = await openBytes(source, options);
  try {
    await checkKind(bytes);
    const entries = await readZipDirectory(bytes);
    const pickles = [...entries.keys()].filter((n) => /(^|\/)data\.pkl$/.test(n)).sort((a, b) => a.length - b.length);
    if (!pickles.length) throw new CheckpointError(`[torch] ${bytes.name}: expected a data.pkl in the archive, got ${[...entries.keys()].slice(0, 4).join(', ') || 'nothing'}. Hint: this is a zip file, but not one that torch.save wrote.`);
    const root = pickles[0]!.slice(0, -'data.pkl'.length);
    await checkByteOrder(bytes, entries.get(`${root}byteorder`));
    const foreign = new Set<string>();
    const tree = readPickle(await readZipEntry(bytes, entries.get(pickles[0]!)!), {
      where: `${bytes.name}: ${pickles[0]}`,
      callables: torchCallables(bytes.name),
      constants: isTorchConstant,
      persistent: (id) => torchStorage(bytes.name, id),
      skipForeign: options.skipForeign ?? false,
      onForeign: (name) => foreign.add(name),
    });
    const { tensors, plain } = collect(bytes.name, tree);
    for (const [name, tensor] of tensors) checkTensor(bytes.name, name, tensor, entries.get(`${root}data/${tensor.storage.key}`));
    return new TorchFile(bytes, tensors, plain, [...foreign], (tensor) => entries.get(`${root}data/${tensor.storage.key}`)!);
  } catch (e) {
    await bytes.close();
    throw e;
  }
}

class TorchFile implements TorchCheckpoint {
  readonly name: string;
  readonly names: readonly string[];

  constructor(
    private readonly bytes: ByteSource,
    private readonly tensors: Map<string, TorchTensor>,
    readonly metadata: Record<string, string>,
    readonly foreign: readonly string[],
    private readonly entryOf: (tensor: TorchTensor) => ZipEntry,
  ) {
    this.name = bytes.name;
    this.names = [...tensors.keys()];
  }

  has(name: string) {
    return this.tensors.has(name);
  }

  info(name: string): TensorInfo {
    const { dtype, shape } = this.tensor(name);
    return { dtype, shape };
  }

  private tensor(name: string): TorchTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw noSuchTensor(this.name, name, this.names);
    return tensor;
  }

  read(name: string): Promise<HostTensor>;
  read(name: string, options: ReadOptions): Promise<HostTensor | RawTensor>;
  async read(name: string, options: ReadOptions = {}): Promise<HostTensor | RawTensor> {
    const tensor = this.tensor(name);
    const width = DTYPE_BYTES[tensor.dtype];
    const where = `${this.name}: tensor ${name}`;
    let span: Uint8Array;
    try {
      const start = (await zipDataStart(this.bytes, this.entryOf(tensor))) + tensor.offset * width;
      span = await this.bytes.read(start, start + spanOf(tensor) * width);
    } catch (cause) {
      throw new CheckpointError(`[torch] ${where}: its values cannot be read: ${(cause as Error).message}`, { cause });
    }
    return decodeValues(gatherView(span, tensor), tensor.dtype, tensor.shape, where, options);
  }

  close() {
    return this.bytes.close();
  }
}

/** First bytes of what `torch.save` wrote before PyTorch 1.6: a pickle of its magic number. */
const LEGACY = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20];

/** Tells torch's zip from its older format and from anything else. */
async function checkKind(bytes: ByteSource): Promise<void> {
  const head = await bytes.read(0, Math.min(10, bytes.size));
  if (LEGACY.every((b, i) => head[i] === b)) {
    throw new CheckpointError(`[torch] ${bytes.name}: expected the zip format, got the one PyTorch wrote before version 1.6, which is not read. Hint: in Python, torch.save(torch.load(path, weights_only=True), path) writes it anew.`);
  }
  if (!(head[0] === 0x50 && head[1] === 0x4b)) {
    throw new CheckpointError(`[torch] ${bytes.name}: expected a zip archive as torch.save writes it, got ${bytes.size ? 'something else' : 'an empty file'}. Hint: the file is damaged, or of another format (openCheckpoint tells them apart).`);
  }
}

async function checkByteOrder(bytes: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return;
  const order = new TextDecoder().decode(await readZipEntry(bytes, entry)).trim();
  if (order !== 'little') throw new CheckpointError(`[torch] ${bytes.name}: expected little-endian values, got ${order}. Hint: save it on a little-endian machine.`);
}

/** More than any model has; stops a pickle whose nested references multiply. */
const MAX_VALUES = 1_000_000;

/** Tensors and plain values by dotted name. Lists count by index; foreign objects are not entered. */
function collect(file: string, tree: PickleValue): { tensors: Map<string, TorchTensor>; plain: Record<string, string> } {
  const tensors = new Map<string, TorchTensor>();
  const plain = new Map<string, string>();
  const inside = new Set<PickleValue>();
  let visited = 0;
  const walk = (value: PickleValue, name: string): void => {
    if (++visited > MAX_VALUES || inside.has(value)) {
      throw new CheckpointError(`[torch] ${file}: ${inside.has(value) ? `${name} contains itself` : `more than ${MAX_VALUES} values`}, expected a tree of dicts with tensors. Hint: the file is damaged or not a checkpoint.`);
    }
    if (value instanceof TorchTensor) {
      if (tensors.has(name)) throw new CheckpointError(`[torch] ${file}: two tensors are called ${name}. Hint: nested keys are joined with dots; rename one.`);
      tensors.set(name, value);
    } else if (value instanceof Map || Array.isArray(value)) {
      inside.add(value);
      for (const [key, item] of value.entries()) {
        if (typeof key === 'string' || typeof key === 'number') walk(item, name ? `${name}.${key}` : String(key));
      }
      inside.delete(value);
    } else if (['number', 'bigint', 'string', 'boolean'].includes(typeof value)) plain.set(name, String(value));
  };
  walk(tree, '');
  return { tensors, plain: Object.fromEntries(plain) };
}

function checkTensor(file: string, name: string, tensor: TorchTensor, entry: ZipEntry | undefined): void {
  const bad = (what: string): never => {
    throw new CheckpointError(`[torch] ${file}: tensor ${name}: ${what} Hint: the file is truncated or damaged; download or write it again.`);
  };
  if (!entry) return bad(`its storage ${tensor.storage.key} is not in the archive.`);
  const end = tensor.offset + spanOf(tensor);
  const width = DTYPE_BYTES[tensor.dtype];
  if (end * width > entry.size) bad(`it needs ${end * width} bytes of storage ${tensor.storage.key}, which has ${entry.size}.`);
  // Strides of 0 can claim any size over one value.
  if (sizeOf(tensor.shape) > (isContiguous(tensor) ? Number.MAX_SAFE_INTEGER : 2 ** 31)) bad(`shape (${tensor.shape.join(', ')}) is too large.`);
}
