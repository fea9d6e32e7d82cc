import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { basename, dirname, join, resolve } from './node-path.js';

const PATHS = ['/fixtures/hnet', '/', 'a', 'a/b/', './a//b', '../a', '/../a', '/a/../../b', 'a/..', 'model.safetensors', '/a/.b'];

describe('paths in a page', () => {
  it.each(PATHS)('of %s are those of Node', (path) => {
    expect(dirname(path)).toBe(posix.dirname(posix.normalize(path)));
    expect(basename(path)).toBe(posix.basename(posix.normalize(path)));
    expect(basename(path, '.safetensors')).toBe(posix.basename(posix.normalize(path), '.safetensors'));
    for (const other of PATHS) {
      // Node keeps a slash at the end.
      expect(join(path, other)).toBe(posix.join(path, other).replace(/(.)\/$/, '$1'));
      expect(resolve(path, other)).toBe(posix.resolve('/', path, other));
    }
  });
});
