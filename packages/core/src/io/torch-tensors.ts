import { CheckpointError } from '../errors.js';
import { PickleForeign, PickleGlobal, type PickleValue } from './pickle.js';
import { DTYPE_BYTES, sizeOf, type StoredDtype } from './tensor-source.js';

/** A block of values in the archive, as a persistent id names it. */
export class TorchStorage {
  constructor(
    readonly key: string,
    readonly dtype: StoredDtype | undefined,
    readonly numel: number,
  ) {}
}

/** A view into a storage. Not checked yet: names are known only when the tree is walked. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly dtype: StoredDtype,
    readonly offset: number,
    readonly shape: number[],
    readonly strides: number[],
  ) {}
}

const STORAGES: Record<string, StoredDtype> = {
  DoubleStorage: 'F64', FloatStorage: 'F32', HalfStorage: 'F16', BFloat16Storage: 'BF16',
  LongStorage: 'I64', IntStorage: 'I32', ShortStorage: 'I16', CharStorage: 'I8', ByteStorage: 'U8', BoolStorage: 'BOOL',
};
const DTYPES: Record<string, StoredDtype> = {
  float64: 'F64', float32: 'F32', float16: 'F16', bfloat16: 'BF16', int64: 'I64', int32: 'I32', int16: 'I16', int8: 'I8',
  uint64: 'U64', uint32: 'U32', uint16: 'U16', uint8: 'U8', bool: 'BOOL',
};

const after = (name: string, prefix: string): string => (name.startsWith(prefix) ? name.slice(prefix.length) : '');
const lookUp = (table: Record<string, StoredDtype>, name: string): StoredDtype | undefined => (Object.hasOwn(table, name) ? table[name] : undefined);
const storageDtype = (name: string): StoredDtype | undefined => lookUp(STORAGES, after(name, 'torch.storage.') || after(name, 'torch.'));
const UNTYPED = 'torch.storage.UntypedStorage';
const TYPES = new Set([UNTYPED, 'torch.Tensor', 'torch._tensor.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.Parameter', 'torch.nn.parameter.Buffer']);

/** Names that stand for themselves: storage types, dtypes, tensor classes. */
export const isTorchConstant = (name: string): boolean => TYPES.has(name) || storageDtype(name) !== undefined || lookUp(DTYPES, after(name, 'torch.')) !== undefined;

/** Our own functions for the few callables that checkpoints of tensors name. */
export function torchCallables(file: string): Record<string, (args: PickleValue[]) => PickleValue> {
  const bad = (what: string): never => {
    throw new CheckpointError(`[torch] ${file}: ${what} Hint: the file is damaged or from an unknown version of PyTorch.`);
  };
  const rebuild = (args: PickleValue[], dtype?: StoredDtype): TorchTensor => {
    const [storage, offset, shape, strides] = args;
    const isCounts = (v: PickleValue): v is number[] => Array.isArray(v) && v.every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!(storage instanceof TorchStorage) || !isCounts([offset]) || !isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) return bad('a tensor has no storage, or its offset, shape or strides are no sizes.');
    const type = dtype ?? storage.dtype;
    if (!type) return bad(`the tensor over storage ${storage.key} has no dtype.`);
    return new TorchTensor(storage, type, offset as number, shape, strides);
  };
  const emptyDict = (args: PickleValue[]): PickleValue => {
    const [items] = args;
    if (items === undefined) return new Map();
    if (!Array.isArray(items) || !items.every((i) => Array.isArray(i) && i.length === 2)) return bad('an OrderedDict is made from something that is not a list of pairs.');
    return new Map(items as [PickleValue, PickleValue][]);
  };
  const parameter = ([data]: PickleValue[]): PickleValue => (data instanceof TorchTensor ? data : bad('a parameter holds something that is not a tensor.'));
  const byType = (args: PickleValue[]): PickleValue => {
    // (rebuild function, class, arguments, attributes): tensors with Python attributes, and subclasses.
    const [func, type, inner] = args;
    if (!(func instanceof PickleGlobal) || !(type instanceof PickleGlobal) || !TYPES.has(type.name) || !Array.isArray(inner)) return type instanceof PickleGlobal ? new PickleForeign(type.name) : bad('a tensor with attributes is damaged.');
    const known = table[func.name];
    return func.name.startsWith('torch._utils._rebuild') && known ? known(inner) : bad(`a tensor is rebuilt by ${func.name}.`);
  };
  const table: Record<string, (args: PickleValue[]) => PickleValue> = {
    'collections.OrderedDict': emptyDict,
    'collections.defaultdict': () => new Map(),
    'torch._utils._rebuild_tensor': (args) => rebuild(args),
    'torch._utils._rebuild_tensor_v2': (args) => rebuild(args),
    'torch._utils._rebuild_tensor_v3': (args) => rebuild(args, args[6] instanceof PickleGlobal ? lookUp(DTYPES, after(args[6].name, 'torch.')) : undefined),
    'torch._utils._rebuild_parameter': parameter,
    'torch._utils._rebuild_parameter_with_state': parameter,
    'torch._tensor._rebuild_from_type_v2': byType,
    'torch.Size': ([shape]) => shape,
    // How protocol 2 writes bytes.
    '_codecs.encode': ([text]) => (typeof text === 'string' ? Uint8Array.from(text, (c) => c.charCodeAt(0)) : bad('bytes are made from something that is not text.')),
  };
  return table;
}

/** The storage that a persistent id names: ('storage', type, key, location, numel). The location (cpu, cuda:0) does not matter. */
export function torchStorage(file: string, id: PickleValue): TorchStorage {
  const [tag, type, key, , numel] = Array.isArray(id) ? id : [];
  if (tag !== 'storage' || !(type instanceof PickleGlobal) || typeof key !== 'string' || !Number.isSafeInteger(numel) || numel < 0) {
    throw new CheckpointError(`[torch] ${file}: a persistent id is not ('storage', type, key, location, size). Hint: the file is damaged or not a checkpoint of tensors.`);
  }
  return new TorchStorage(key, type.name === UNTYPED ? undefined : storageDtype(type.name), numel);
}

/** Elements of the storage that a tensor spans, from its offset. */
export const spanOf = ({ shape, strides }: TorchTensor): number => (shape.includes(0) ? 0 : shape.reduce((n, s, i) => n + (s - 1) * strides[i]!, 1));

/** Do its values lie one after the other in row-major order? */
export function isContiguous({ shape, strides }: TorchTensor): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/** Bytes of the view in row-major order, from the bytes of its span. */
export function gatherView(span: Uint8Array, tensor: TorchTensor): Uint8Array {
  if (isContiguous(tensor)) return span;
  const { shape, strides } = tensor;
  const width = DTYPE_BYTES[tensor.dtype];
  const out = new Uint8Array(sizeOf(shape) * width);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < out.length; to += width) {
    for (let b = 0; b < width; b++) out[to + b] = span[from * width + b]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}
