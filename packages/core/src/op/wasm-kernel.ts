import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import { BackendError } from '../errors.js';
import type { FastKernel, KernelCall } from './define-op.js';
import { hasRelaxedSimd } from './relaxed-simd.js';

/** The part of tfjs' wasm backend that kernels need; private there, so it is touched in this file only. */
interface WasmBackend {
  wasm: { asm?: { memory?: WebAssembly.Memory }; wasmMemory?: WebAssembly.Memory; _malloc(bytes: number): number; _free(pointer: number): void };
  dataIdMap: { get(id: object): { memoryOffset: number } };
  makeOutput(shape: number[], dtype: DataType): TensorInfo;
}

/** tfjs' own wasm memory as kernels see it: byte offsets in, byte offsets out, nothing is copied. */
export interface WasmHeap {
  readonly memory: WebAssembly.Memory;
  /** Byte offset of a tensor's data; 0 for `undefined`, which kernels take for "not given". */
  offset(t: TensorInfo | undefined): number;
  /** A new tensor with undefined contents. Throws when the memory is full (tfjs itself would hand out address 0). */
  output(shape: readonly number[], dtype?: DataType): TensorInfo;
  /** One block per process, valid until the next call; kernels of one call share it. */
  scratch(bytes: number): number;
  /** A block that the caller owns. */
  malloc(bytes: number): number;
  free(pointer: number): void;
  /** Views; take them after the last allocation, since growth detaches them. */
  f32(pointer: number, length: number): Float32Array;
  i32(pointer: number, length: number): Int32Array;
}

const heaps = new WeakMap<object, WasmHeap>();

/** The heap of tfjs' wasm backend, or `null` when this build of it does not expose its memory. */
export function wasmHeap(backend: KernelBackend): WasmHeap | null {
  const known = heaps.get(backend);
  if (known) return known;
  const own = backend as unknown as WasmBackend;
  const memory = own.wasm?.asm?.memory ?? own.wasm?.wasmMemory;
  if (!memory) return null;
  let scratchPointer = 0;
  let scratchBytes = 0;
  const full = (bytes: number): never => {
    throw new BackendError(
      `[wasm] out of memory: ${bytes} bytes more were asked for, ${memory.buffer.byteLength} are in use by the backend (limit 4 GiB). ` +
        `Hint: a smaller batch or shorter sequences, or the 'tensorflow' backend.`,
    );
  };
  const malloc = (bytes: number): number => {
    const p = own.wasm._malloc(bytes) >>> 0;
    return p === 0 ? full(bytes) : p;
  };
  const heap: WasmHeap = {
    memory,
    offset: (t) => (t ? own.dataIdMap.get(t.dataId).memoryOffset : 0),
    output(shape, dtype = 'float32') {
      const out = own.makeOutput([...shape], dtype);
      const size = shape.reduce((a, b) => a * b, 1);
      if (size > 0 && own.dataIdMap.get(out.dataId).memoryOffset === 0) full(size * 4);
      return out;
    },
    scratch(bytes) {
      if (bytes > scratchBytes) {
        if (scratchPointer) own.wasm._free(scratchPointer);
        scratchBytes = Math.max(bytes, 1 << 16);
        scratchPointer = malloc(scratchBytes);
      }
      return scratchPointer;
    },
    malloc,
    free: (p) => own.wasm._free(p),
    f32: (p, n) => new Float32Array(memory.buffer, p, n),
    i32: (p, n) => new Int32Array(memory.buffer, p, n),
  };
  heaps.set(backend, heap);
  return heap;
}

/** A cache line. */
const ALIGNMENT = 64;

/**
 * Makes tfjs put tensors at multiples of 64 bytes. Its allocator promises 8, and a vector that lies across two cache lines costs twice:
 * products with matrices in the cache are up to 1.7 times faster aligned.
 */
export function alignTensors(backend: KernelBackend): void {
  const { wasm } = backend as unknown as WasmBackend;
  if (aligned.has(wasm)) return;
  aligned.add(wasm);
  // Emscripten's entry points replace themselves at their first call.
  wasm._free(wasm._malloc(8));
  const { _malloc: malloc, _free: free } = wasm;
  /** What the allocator gave, by what we handed out. */
  const given = new Map<number, number>();
  wasm._malloc = (bytes) => {
    const block = malloc(bytes + ALIGNMENT - 8) >>> 0;
    if (block === 0) return 0;
    const pointer = Math.ceil(block / ALIGNMENT) * ALIGNMENT;
    if (pointer !== block) given.set(pointer, block);
    return pointer;
  };
  // Kernels of tfjs also free blocks that its C++ side allocated by itself.
  wasm._free = (pointer) => {
    const at = pointer >>> 0;
    free(given.get(at) ?? at);
    given.delete(at);
  };
}

const aligned = new WeakSet<object>();
const instances = new WeakMap<WebAssembly.Memory, Map<string, WebAssembly.Exports>>();

/**
 * Instantiates a kernel module on the heap's memory, once per memory.
 * @param base64 made from `as/` by `tools/generate.mjs`: one build, or a plain and a relaxed-SIMD one with a space between.
 */
export function wasmInstance<E>(heap: WasmHeap, base64: string): E {
  let cache = instances.get(heap.memory);
  if (!cache) instances.set(heap.memory, (cache = new Map()));
  let exports = cache.get(base64);
  if (!exports) {
    const [plain, relaxed] = base64.split(' ');
    let bytes = decodeBase64(relaxed && hasRelaxedSimd() ? relaxed : plain);
    if (!(heap.memory.buffer instanceof ArrayBuffer)) bytes = importSharedMemory(bytes);
    exports = new WebAssembly.Instance(new WebAssembly.Module(bytes as BufferSource), { env: { memory: heap.memory } }).exports;
    cache.set(base64, exports);
  }
  return exports as E;
}

/** What a wasm kernel gets besides the call: the module's functions and the heap. */
export type WasmKernel<N extends string, A, E> = (call: KernelCall<N, A> & { heap: WasmHeap; lib: E }) => TensorInfo[] | null;

/**
 * Wraps a kernel of an AssemblyScript module for `defineOp({ kernels: { wasm } })`.
 * @typeParam E the module's exported functions; pointers and sizes are plain numbers.
 */
export function wasmKernel<N extends string, A, E>(base64: string, run: WasmKernel<N, A, E>): FastKernel<N, A> {
  let last: { backend: KernelBackend; heap: WasmHeap; lib: E } | undefined;
  return ({ inputs, attrs, backend }) => {
    if (last?.backend !== backend) {
      const heap = wasmHeap(backend);
      if (!heap) return null;
      last = { backend, heap, lib: wasmInstance<E>(heap, base64) };
    }
    return run({ inputs, attrs, backend, heap: last.heap, lib: last.lib });
  };
}

function decodeBase64(text: string): Uint8Array {
  if (typeof Buffer !== 'undefined') return new Uint8Array(Buffer.from(text, 'base64'));
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/**
 * In a cross-origin isolated page tfjs' memory is shared, and a module must say so in its import. The import section of our modules
 * ends in `00 00` (no maximum, minimum 0); `03 00 80 80 04` means shared, minimum 0, maximum 65536 pages.
 */
function importSharedMemory(bytes: Uint8Array): Uint8Array {
  let p = 8;
  while (p < bytes.length) {
    const id = bytes[p]!;
    const size = bytes[p + 1]!;
    if (id === 2) {
      const end = p + 2 + size;
      if (size > 120 || bytes[end - 1] !== 0 || bytes[end - 2] !== 0) break;
      const out = new Uint8Array(bytes.length + 3);
      out.set(bytes.subarray(0, end - 2));
      out[p + 1] = size + 3;
      out.set([3, 0, 0x80, 0x80, 4], end - 2);
      out.set(bytes.subarray(end), end + 3);
      return out;
    }
    let length = 0;
    let shift = 0;
    let q = p + 1;
    for (;;) {
      const b = bytes[q++]!;
      length |= (b & 127) << shift;
      shift += 7;
      if (!(b & 128)) break;
    }
    p = q + length;
  }
  throw new BackendError('[wasm] a kernel module could not be adapted to shared memory. Hint: serve the page without cross-origin isolation.');
}
