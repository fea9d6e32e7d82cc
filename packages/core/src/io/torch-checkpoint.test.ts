import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixtureRoot } from '../testing/fixtures.js';
import { openCheckpoint } from './open-checkpoint.js';
import { openSafetensors } from './safetensors.js';
import { openTorchCheckpoint } from './torch-checkpoint.js';
import { bytes, concat, dict, floats, global, int, pickle, tensor, text, torchFile, tuple, zip } from './testing/archives.js';

const fixture = (...path: string[]) => join(fixtureRoot(), 'hnet', ...path);

/** Every tensor of `file` equals that of its safetensors twin, and there are no others. */
async function expectTwin(file: string, twin: string, options: Parameters<typeof openTorchCheckpoint>[1] = {}) {
  const [a, b] = [await openTorchCheckpoint(file, options), await openSafetensors(twin)];
  expect([...a.names].sort()).toEqual([...b.names].sort());
  for (const name of b.names) {
    expect(a.info(name).dtype, name).toBe(b.info(name).dtype);
    expect(await a.read(name, { as: 'exact' }), name).toEqual(await b.read(name, { as: 'exact' }));
  }
  await Promise.all([a.close(), b.close()]);
  return a;
}

describe('files that torch.save wrote', () => {
  it.each(['ordered_metadata_bf16', 'parameters', 'cuda_location', 'views_and_dtypes'])('%s equals its twin', async (name) => {
    await expectTwin(fixture('pt_variants', `${name}.pt`), fixture('pt_variants', `${name}.safetensors`));
  });

  it('the published layout equals its twin', async () => {
    await expectTwin(fixture('hnet_edge', 'hnet_edge.pt'), fixture('hnet_edge', 'model.safetensors'));
  });

  it('foreign classes beside the tensors: refused, or left out and reported', async () => {
    const path = fixture('pt_variants', 'nested_foreign_class.pt');
    await expect(openTorchCheckpoint(path)).rejects.toThrow(/nested_foreign_class\.pt.*names the class or function "omegaconf\.listconfig\.ListConfig"[\s\S]*skipForeign/);
    const source = await expectTwin(path, fixture('pt_variants', 'nested_foreign_class.safetensors'), { skipForeign: true });
    expect(source.foreign).toContain('omegaconf.listconfig.ListConfig');
    expect(source.metadata).toMatchObject({ step: '12345678901', lr: '0.0003', note: 'héllo' });
  });

  it('the format before 1.6 is refused by name', async () => {
    await expect(openTorchCheckpoint(fixture('pt_variants', 'legacy_not_zip.pt'))).rejects.toThrow(/legacy_not_zip\.pt: expected the zip format, got the one PyTorch wrote before version 1\.6/);
    await expect(openCheckpoint(fixture('pt_variants', 'legacy_not_zip.pt'))).rejects.toThrow(/before version 1\.6/);
  });

  it('openCheckpoint goes by content', async () => {
    const pt = await openCheckpoint(new Uint8Array(readFileSync(fixture('hnet_edge', 'hnet_edge.pt'))));
    const st = await openCheckpoint(new Uint8Array(readFileSync(fixture('hnet_edge', 'model.safetensors'))));
    expect([...pt.names].sort()).toEqual([...st.names].sort());
    await expect(openCheckpoint(bytes('hello, world'))).rejects.toThrow(/expected safetensors or a file of torch\.save, got neither/);
    await expect(openCheckpoint(bytes())).rejects.toThrow(/got an empty file/);
  });
});

const whole = torchFile(pickle(dict([text('w'), tensor({ shape: [2, 3], strides: [3, 1] })])), { 0: floats(1, 2, 3, 4, 5, 6, 7, 8) });

describe('zip', () => {
  it.each([{}, { zip64: true }, { descriptors: true }, { zip64: true, descriptors: true }])('reads %j', async (options) => {
    const source = await openTorchCheckpoint(torchFile(pickle(dict([text('w'), tensor({ shape: [2], strides: [1], offset: 3 })])), { 0: floats(1, 2, 3, 4, 5, 6, 7, 8) }, options));
    expect((await source.read('w')).values).toEqual(Float32Array.of(4, 5));
  });

  it('finds the directory before a comment', async () => {
    const commented = concat([whole, bytes('comment')]);
    new DataView(commented.buffer).setUint16(whole.length - 2, 7, true);
    expect((await openTorchCheckpoint(commented)).names).toEqual(['w']);
  });

  it('a file cut anywhere is refused', async () => {
    for (let n = 0; n < whole.length; n++) {
      await expect(openTorchCheckpoint(whole.slice(0, n)), `${n} bytes`).rejects.toMatchObject({ code: 'checkpoint' });
    }
  });

  it('a damaged byte gives the tensors or a CheckpointError, nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const damaged = whole.slice();
        damaged[at]! ^= flip;
        try {
          const source = await openTorchCheckpoint(damaged);
          for (const name of source.names) await source.read(name);
        } catch (e) {
          expect(e).toMatchObject({ code: 'checkpoint' });
        }
      }),
      { numRuns: 2000, seed: 3 },
    );
  });

  it('refuses other archives', async () => {
    await expect(openTorchCheckpoint(zip([['a.txt', bytes('x')]]))).rejects.toThrow(/expected a data\.pkl in the archive, got a\.txt/);
    const big = zip([['m/data.pkl', pickle(dict())], ['m/byteorder', bytes('big')]]);
    await expect(openTorchCheckpoint(big)).rejects.toThrow(/expected little-endian values, got big/);
  });
});

describe('tensors', () => {
  const open = (t: Parameters<typeof tensor>[0]) => openTorchCheckpoint(torchFile(pickle(dict([text('w'), tensor(t)])), { 0: floats(1, 2, 3, 4, 5, 6, 7, 8) }));

  it('strided, expanded, scalar and empty views', async () => {
    const read = async (t: Parameters<typeof tensor>[0]) => [...(await (await open(t)).read('w')).values];
    expect(await read({ shape: [3, 2], strides: [1, 3] })).toEqual([1, 4, 2, 5, 3, 6]);
    expect(await read({ shape: [2, 3], strides: [0, 2], offset: 1 })).toEqual([2, 4, 6, 2, 4, 6]);
    expect(await read({ shape: [], strides: [], offset: 7 })).toEqual([8]);
    expect(await read({ shape: [0, 4], strides: [4, 1] })).toEqual([]);
  });

  it('any view equals the loops that define it', async () => {
    const size = fc.integer({ min: 1, max: 3 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(size, fc.integer({ min: 0, max: 2 })), { maxLength: 3 }), fc.integer({ min: 0, max: 1 }), async (axes, offset) => {
        const [shape, strides] = [axes.map((a) => a[0]), axes.map((a) => a[1])];
        const end = offset + shape.reduce((n, s, i) => n + (s - 1) * strides[i]!, 1);
        const source = open({ shape, strides, offset });
        if (end > 8) return void (await expect(source).rejects.toThrow(/tensor w: it needs/));
        let want = [offset];
        shape.forEach((s, i) => (want = want.flatMap((at) => Array.from({ length: s }, (_, k) => at + k * strides[i]!))));
        expect([...(await (await source).read('w')).values]).toEqual(want.map((at) => at + 1));
      }),
      { numRuns: 200, seed: 5 },
    );
  });

  it('refuses a view beyond its storage, a missing storage, an absurd shape', async () => {
    await expect(open({ shape: [9], strides: [1] })).rejects.toThrow(/tensor w: it needs 36 bytes of storage 0, which has 32/);
    await expect(open({ shape: [1], strides: [1], storage: '7' })).rejects.toThrow(/tensor w: its storage 7 is not in the archive/);
    await expect(open({ shape: [100000, 100000], strides: [0, 0] })).rejects.toThrow(/shape \(100000, 100000\) is too large/);
    await expect(open({ shape: [-1], strides: [1] })).rejects.toThrow(/are no sizes/);
  });
});

describe('hostile pickles', () => {
  const open = (data: Uint8Array, skipForeign = false) => openTorchCheckpoint(torchFile(data, { 0: floats(1, 2, 3, 4, 5, 6, 7, 8) }), { skipForeign });
  const command = tuple(text('touch /tmp/owned'));
  const good: [Uint8Array, Uint8Array] = [text('w'), tensor({ shape: [2], strides: [1] })];
  const attacks: Record<string, Uint8Array> = {
    'GLOBAL and REDUCE': bytes(global('os', 'system'), command, 'R'),
    'STACK_GLOBAL and REDUCE': bytes(text('os'), text('system'), 0x93, command, 'R'),
    INST: bytes('(', text('touch /tmp/owned'), 'ios\nsystem\n'),
    OBJ: bytes('(', global('os', 'system'), text('touch /tmp/owned'), 'o'),
    NEWOBJ: bytes(global('os', 'system'), command, 0x81),
    NEWOBJ_EX: bytes(global('os', 'system'), command, '}', 0x92),
    BUILD: bytes(global('os', 'system'), ')', 0x81, dict([text('__setstate__'), text('x')]), 'b'),
  };

  it.each(Object.entries(attacks))('os.system by %s is refused by name', async (_, attack) => {
    await expect(open(pickle(dict(good, [text('x'), attack])))).rejects.toThrow(/names the class or function "os\.system".*Nothing was run/s);
  });

  it.each(Object.entries(attacks))('os.system by %s is inert when foreign objects are left out', async (_, attack) => {
    const source = await open(pickle(dict(good, [text('x'), attack])), true);
    expect(source.foreign).toEqual(['os.system']);
    expect(source.names).toEqual(['w']);
  });

  it.each([
    ['builtins', 'eval'],
    ['builtins', 'getattr'],
    ['torch', 'load'],
    ['torch', 'constructor'],
    ['torch.storage', '__proto__'],
    ['collections', 'OrderedDict.__init__'],
    ['torch._utils', '_rebuild_tensor_v2.__globals__'],
    ['torch.jit', '_script'],
    ['numpy.core.multiarray', '_reconstruct'],
    ['Object', 'prototype'],
  ])('%s.%s is refused', async (module, name) => {
    await expect(open(pickle(bytes(global(module, name), ')R')))).rejects.toThrow(new RegExp(`names the class or function "${module}.${name}"`.replace(/[.]/g, '\\.')));
  });

  it('known names cannot be called as something else', async () => {
    await expect(open(pickle(bytes(global('torch', 'FloatStorage'), ')R')))).rejects.toThrow(/"torch\.FloatStorage"/);
    await expect(open(pickle(bytes(text('x'), ')R')))).rejects.toThrow(/something is called that is not a function/);
    await expect(open(pickle(bytes(global('torch._utils', '_rebuild_parameter'), tuple(text('x')), 'R')))).rejects.toThrow(/a parameter holds something that is not a tensor/);
    await expect(open(pickle(bytes(global('torch._tensor', '_rebuild_from_type_v2'), tuple(global('torch', 'Size'), global('torch', 'Tensor'), tuple(int(1)), bytes('N')), 'R')))).rejects.toThrow(/rebuilt by torch\.Size/);
  });

  it('a tensor with Python attributes is read without them', async () => {
    const inner = tuple(...[bytes(tuple(text('storage'), global('torch', 'FloatStorage'), text('0'), text('cpu'), int(8)), 'Q'), int(0), tuple(int(2)), tuple(int(1)), bytes(0x89), bytes('}')]);
    const t = bytes(global('torch._tensor', '_rebuild_from_type_v2'), tuple(global('torch._utils', '_rebuild_tensor_v2'), global('torch.nn.parameter', 'Parameter'), inner, dict([text('_no_weight_decay'), bytes(0x88)])), 'R');
    const source = await open(pickle(dict([text('D'), t])));
    expect((await source.read('D')).values).toEqual(Float32Array.of(1, 2));
  });

  it('cycles, exploding references, two of a name, extension and unknown opcodes', async () => {
    await expect(open(pickle(bytes('}', 0x94, text('a'), 'h', 0, 's')))).rejects.toThrow(/a contains itself/);
    const nest = Array.from({ length: 30 }, () => bytes('2', 0x86));
    await expect(open(pickle(bytes(']', ...nest)))).rejects.toThrow(/more than 1000000 values/);
    await expect(open(pickle(dict([text('a.b'), tensor({ shape: [1], strides: [1] })], [text('a'), dict([text('b'), tensor({ shape: [1], strides: [1] })])])))).rejects.toThrow(/two tensors are called a\.b/);
    await expect(open(pickle(bytes(0x82, 1)))).rejects.toThrow(/opcode 0x82 is not supported/);
    await expect(open(bytes(0x80, 0, '.'))).rejects.toThrow(/protocol 0 is not supported/);
    await expect(open(pickle(bytes('h', 9)))).rejects.toThrow(/memo entry 9 is missing/);
    await expect(open(pickle(bytes('t')))).rejects.toThrow(/a mark is missing/);
    await expect(open(bytes(0x80, 2, 'X', 255, 255, 255, 127, 'abc'))).rejects.toThrow(/2147483647 bytes are expected, it ends/);
  });

  it('random bytes never do more than throw a CheckpointError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (noise) => {
        await open(pickle(noise), true).then(
          () => undefined,
          (e: unknown) => expect(e).toMatchObject({ code: 'checkpoint' }),
        );
      }),
      { numRuns: 3000, seed: 7 },
    );
  });
});
