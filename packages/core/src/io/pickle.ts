import { CheckpointError } from '../errors.js';
import { PickleReader } from './pickle-reader.js';

/** A class or function that a pickle names. Never looked up, imported or run. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** What stands for an object of a foreign class: nothing but its class's name. */
export class PickleForeign {
  constructor(readonly className: string) {}
}

/** A dict; keys may be anything. */
export type PickleDict = Map<PickleValue, PickleValue>;
/** Lists, tuples and sets are arrays; what the caller's functions return passes through. */
export type PickleValue = unknown;

export interface PickleOptions {
  /** File and member, for messages. */
  where: string;
  /** The few callables that are known, by `module.name`: our own functions of the arguments. */
  callables: Readonly<Record<string, (args: PickleValue[]) => PickleValue>>;
  /** Names that may stand for themselves, as arguments of the callables. */
  constants: (name: string) => boolean;
  /** Resolves persistent ids. */
  persistent: (id: PickleValue) => PickleValue;
  /** Replace objects of foreign classes by `PickleForeign` instead of refusing the file. Their code is not run either way. */
  skipForeign: boolean;
  /** Receives the names that were skipped. */
  onForeign?: ((name: string) => void) | undefined;
}

const MARK = Symbol('mark');

/**
 * Reads a pickle of protocol 2 to 5 without running anything it names: a stack machine that knows plain data and the given callables.
 *
 * @throws CheckpointError naming a foreign class or callable, or saying where the pickle is damaged.
 * @source the opcodes as documented in CPython's `pickletools`.
 */
export function readPickle(bytes: Uint8Array, options: PickleOptions): PickleValue {
  const reader = new PickleReader(bytes, options.where);
  const stack: PickleValue[] = [];
  const memo = new Map<number, PickleValue>();
  const bad = (what: string): never => reader.fail(what);
  const pop = (): PickleValue => {
    if (!stack.length || stack[stack.length - 1] === MARK) bad('a value is missing');
    return stack.pop();
  };
  const top = (): PickleValue => {
    if (!stack.length) bad('a value is missing');
    return stack[stack.length - 1];
  };
  const toMark = (): PickleValue[] => {
    const at = stack.lastIndexOf(MARK);
    if (at < 0) bad('a mark is missing');
    return stack.splice(at).slice(1);
  };
  const recall = (index: number): PickleValue => (memo.has(index) ? memo.get(index) : bad(`memo entry ${index} is missing`));
  const find = (module: string, name: string): PickleGlobal => {
    const full = `${module}.${name}`;
    if (!Object.hasOwn(options.callables, full) && !options.constants(full)) foreign(full);
    return new PickleGlobal(full);
  };
  const foreign = (name: string): void => {
    if (!options.skipForeign) {
      throw new CheckpointError(
        `[pickle] ${options.where}: it names the class or function ${JSON.stringify(name)}, which is not plain tensor data; expected tensors, numbers, strings and containers only. ` +
          'Nothing was run. Hint: if the file also holds the tensors you want, `skipForeign: true` leaves such objects out; or save a plain state dict.',
      );
    }
    options.onForeign?.(name);
  };
  const call = (callee: PickleValue, args: PickleValue): PickleValue => {
    if (callee instanceof PickleForeign) return callee;
    if (!(callee instanceof PickleGlobal)) return bad('something is called that is not a function');
    if (!Array.isArray(args)) return bad(`${callee.name} is called without a tuple of arguments`);
    if (Object.hasOwn(options.callables, callee.name)) return options.callables[callee.name]!(args);
    foreign(callee.name);
    return new PickleForeign(callee.name);
  };
  const setItems = (target: PickleValue, items: PickleValue[]): void => {
    if (items.length % 2) bad('a key has no value');
    if (target instanceof PickleForeign) return;
    if (!(target instanceof Map)) return bad('items are set on something that is not a dict');
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  };
  const append = (target: PickleValue, items: PickleValue[]): void => {
    if (target instanceof PickleForeign) return;
    if (!Array.isArray(target)) return bad('items are added to something that is not a list');
    for (const item of items) target.push(item);
  };

  for (;;) {
    const op = reader.uint8();
    switch (op) {
      case 0x80: {
        const protocol = reader.uint8();
        if (protocol < 2 || protocol > 5) bad(`protocol ${protocol} is not supported (2 to 5 are)`);
        break;
      }
      case 0x95: reader.frame(); break;
      case 0x2e: { // STOP
        const result = pop();
        if (stack.length) bad('values are left over at the end');
        return result;
      }
      // Constants and numbers.
      case 0x4e: stack.push(null); break;
      case 0x88: stack.push(true); break;
      case 0x89: stack.push(false); break;
      case 0x4a: stack.push(reader.int32()); break;
      case 0x4b: stack.push(reader.uint8()); break;
      case 0x4d: stack.push(reader.uint16()); break;
      case 0x8a: stack.push(reader.long(reader.uint8())); break;
      case 0x8b: stack.push(reader.long(reader.int32())); break;
      case 0x47: stack.push(reader.float64()); break;
      // Strings and bytes.
      case 0x8c: stack.push(reader.text(reader.uint8())); break;
      case 0x58: stack.push(reader.text(reader.uint32())); break;
      case 0x8d: stack.push(reader.text(reader.uint64())); break;
      case 0x55: stack.push(reader.latin1(reader.uint8())); break;
      case 0x54: stack.push(reader.latin1(reader.int32())); break;
      case 0x43: stack.push(reader.bytes(reader.uint8())); break;
      case 0x42: stack.push(reader.bytes(reader.uint32())); break;
      case 0x8e: case 0x96: stack.push(reader.bytes(reader.uint64())); break;
      // Containers.
      case 0x28: stack.push(MARK); break;
      case 0x29: case 0x5d: case 0x8f: stack.push([]); break;
      case 0x7d: stack.push(new Map()); break;
      case 0x74: case 0x6c: case 0x91: stack.push(toMark()); break;
      case 0x85: case 0x86: case 0x87: {
        const items = Array.from({ length: op - 0x84 }, pop);
        stack.push(items.reverse());
        break;
      }
      case 0x64: { // DICT
        const items = toMark();
        const dict: PickleDict = new Map();
        setItems(dict, items);
        stack.push(dict);
        break;
      }
      case 0x61: { const item = pop(); append(top(), [item]); break; }
      case 0x65: case 0x90: { const items = toMark(); append(top(), items); break; }
      case 0x73: { const value = pop(); const key = pop(); setItems(top(), [key, value]); break; }
      case 0x75: { const items = toMark(); setItems(top(), items); break; }
      // Stack and memo.
      case 0x30: stack.pop(); break;
      case 0x31: toMark(); break;
      case 0x32: stack.push(top()); break;
      case 0x71: memo.set(reader.uint8(), top()); break;
      case 0x72: memo.set(reader.uint32(), top()); break;
      case 0x94: memo.set(memo.size, top()); break;
      case 0x68: stack.push(recall(reader.uint8())); break;
      case 0x6a: stack.push(recall(reader.uint32())); break;
      // Classes and calls: names only.
      case 0x63: { const module = reader.line(); stack.push(find(module, reader.line())); break; }
      case 0x93: {
        const name = pop();
        const module = pop();
        if (typeof name !== 'string' || typeof module !== 'string') return bad('a class name is not a string');
        stack.push(find(module, name));
        break;
      }
      case 0x52: case 0x81: { const args = pop(); stack.push(call(pop(), args)); break; }
      case 0x92: { pop(); const args = pop(); stack.push(call(pop(), args)); break; }
      case 0x69: { const module = reader.line(); const callee = find(module, reader.line()); stack.push(call(callee, toMark())); break; }
      case 0x6f: { const [callee, ...args] = toMark(); stack.push(call(callee, args)); break; }
      // BUILD: state of an object. Plain data needs none (an OrderedDict's attributes, such as `_metadata`, are not tensors).
      case 0x62: pop(); top(); break;
      case 0x51: stack.push(options.persistent(pop())); break;
      default: bad(`opcode 0x${op.toString(16)} is not supported`);
    }
  }
}
