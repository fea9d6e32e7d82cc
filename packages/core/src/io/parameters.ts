import * as tf from '@tensorflow/tfjs-core';
import { CheckpointError, NumericError } from '../errors.js';
import { encodeRows } from '../kernels/packed/format.js';
import type { HasParameters, ParameterMap } from '../module/module.js';
import { packedShape } from '../module/weight-format.js';
import { renameAll, type KeyMap } from './key-map.js';
import type { HostTensor, TensorSource } from './tensor-source.js';

export interface LoadParametersOptions {
  /** Looks only at tensors whose file name starts with this (a dot is added), and strips it. */
  prefix?: string | undefined;
  /** From file names (without the prefix) to the module's. */
  map?: KeyMap | undefined;
  /** Tensors of the file that the module may lack: all (`true`), or those the function accepts. Default: none. */
  allowUnexpected?: boolean | ((name: string) => boolean) | undefined;
  /** Called after each tensor. */
  onProgress?: ((done: number, total: number, name: string) => void) | undefined;
}

export interface LoadReport {
  /** The module's names that were loaded, in file order. */
  loaded: string[];
  /** File names that were allowed to be left over. */
  unexpected: string[];
}

/**
 * Fills a module's parameters from a checkpoint, one tensor at a time: besides the module itself only one tensor is in memory.
 * Strict: names and shapes are all checked before the first value changes. A tied parameter needs one of its names; if the file has
 * several, their values must be equal.
 *
 * @throws CheckpointError listing every missing, unexpected and mis-shaped tensor at once. NumericError naming a tensor that holds NaN or
 * infinity (parameters loaded before it have then changed).
 * @example
 * await loadParameters(model, await openCheckpoint('model.safetensors'));
 */
export async function loadParameters(module: HasParameters, source: TensorSource, options: LoadParametersOptions = {}): Promise<LoadReport> {
  const parameters = module.parameters();
  const { pairs, unexpected } = match(module.constructor.name, parameters, source, options);
  const loadedFrom = new Map<tf.Variable, string>();
  let done = 0;
  for (const [name, fileName] of pairs) {
    const variable = parameters.get(name)!;
    const earlier = loadedFrom.get(variable);
    const packed = packedShape(variable);
    const host = packed ? undefined : await readFinite(source, fileName);
    if (earlier !== undefined) await checkTied(source, earlier, fileName, host ?? (await source.read(fileName)));
    else {
      const value = host ? tf.tensor(host.values, host.shape, 'float32') : tf.tensor(await readWords(source, fileName, packed!), variable.shape, 'int32');
      variable.assign(value);
      value.dispose();
      touch(variable);
      loadedFrom.set(variable, fileName);
    }
    options.onProgress?.(++done, pairs.size, name);
  }
  return { loaded: [...pairs.keys()], unexpected };
}

/** Uses a value once: backends copy it to their device only then, and all copies on the host would still be there when the last one is read. */
function touch(variable: tf.Variable): void {
  if (variable.size) tf.tidy(() => void tf.slice(tf.reshape(variable, [variable.size]), 0, 1));
}

/** Which file tensor goes where: module name → file name. */
function match(module: string, parameters: ParameterMap, source: TensorSource, options: LoadParametersOptions) {
  const prefix = options.prefix ? `${options.prefix.replace(/\.$/, '')}.` : '';
  const inside = source.names.filter((n) => n.startsWith(prefix));
  const renamed = renameAll(inside, (n) => (options.map ? options.map.toModel(n.slice(prefix.length)) : n.slice(prefix.length)));
  const pairs = new Map<string, string>();
  const wrong: string[] = [];
  const left: string[] = [];
  for (const [name, fileName] of renamed) {
    const variable = parameters.get(name);
    if (!variable) {
      left.push(fileName);
      continue;
    }
    const { shape, dtype } = source.info(fileName);
    const wanted = packedShape(variable) ?? variable.shape;
    if (shape.join() !== wanted.join()) wrong.push(`${fileName} file (${shape.join(', ')}) vs model (${wanted.join(', ')})`);
    else if (!/^B?F\d/.test(dtype)) wrong.push(`${fileName} file dtype ${dtype} vs model float32`);
    pairs.set(name, fileName);
  }
  const given = new Set([...pairs.keys()].map((n) => parameters.get(n)!));
  const missing = [...parameters].filter(([, v]) => !given.has(v)).map(([n]) => n);
  const allow = options.allowUnexpected ?? false;
  const unexpected = left.filter((n) => !(typeof allow === 'function' ? allow(n) : allow));
  if (missing.length || unexpected.length || wrong.length) {
    const list = (title: string, names: string[]) => (names.length ? `\n      ${title}: ${shorten(names)}` : '');
    throw new CheckpointError(
      `[loadParameters] ${source.name} into ${module}: ${missing.length} missing, ${unexpected.length} unexpected, ${wrong.length} wrong shape.` +
        list('missing', missing) + list('unexpected', unexpected) + list('wrong shape', wrong) +
        '\n      Hint: check that the configuration belongs to this file; `map` renames, `prefix` selects, `allowUnexpected` leaves tensors out.',
    );
  }
  return { pairs, unexpected: left };
}

const shorten = (names: string[]): string => (names.length > 20 ? `${names.slice(0, 20).join(', ')}, … (${names.length} in all)` : names.join(', '));

async function readFinite(source: TensorSource, name: string): Promise<HostTensor> {
  const host = await source.read(name);
  checkFinite(source.name, name, host);
  return host;
}

/** A matrix as bf16, two to a word: as the file has it, or rounded to the nearest. */
async function readWords(source: TensorSource, name: string, [rows, columns]: readonly [number, number]): Promise<Int32Array> {
  if (source.info(name).dtype !== 'BF16') {
    const { values } = await readFinite(source, name);
    return encodeRows(values as Float32Array, rows, columns, { format: 'bf16', group: 0 }).words;
  }
  const words = (await source.read(name, { as: 'packed' })).values as Int32Array;
  const bad = words.findIndex((w) => (w & 0x7f80) === 0x7f80 || ((w >>> 16) & 0x7f80) === 0x7f80);
  // The plain form says which value it is.
  if (bad >= 0) await readFinite(source, name);
  return words;
}

function checkFinite(file: string, name: string, { values }: HostTensor): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new NumericError(`[loadParameters] ${file}: tensor ${name} holds ${values[i]} at entry ${i}, expected finite numbers. Hint: the checkpoint was saved after training diverged, or is damaged; use an earlier one.`);
    }
  }
}

async function checkTied(source: TensorSource, first: string, second: string, values: HostTensor): Promise<void> {
  const other = await source.read(first);
  const at = values.values.findIndex((v, i) => v !== other.values[i]);
  if (at >= 0) {
    throw new CheckpointError(`[loadParameters] ${source.name}: ${first} and ${second} are one tied parameter of the model, but entry ${at} differs (${other.values[at]}, ${values.values[at]}). Hint: load into an untied model.`);
  }
}

/** A module's parameters under their published names, for `saveSafetensors`; `map` gives another published layout. */
export function stateDict(module: HasParameters, options: { prefix?: string; map?: KeyMap } = {}): Map<string, tf.Variable> {
  const parameters = module.parameters();
  const names = renameAll(parameters.keys(), (n) => options.map?.toFile(n) ?? n);
  const prefix = options.prefix ? `${options.prefix.replace(/\.$/, '')}.` : '';
  return new Map([...names].map(([to, from]) => [prefix + to, parameters.get(from)!]));
}
