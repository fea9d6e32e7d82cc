import fc from 'fast-check';
import { expect, it } from 'vitest';
import { mapKeys, renameAll } from './key-map.js';

const map = mapKeys([
  ['backbone.embedding.weight', 'embeddings.weight'],
  ['backbone.layers.{i}.norm.{rest...}', 'layers.{i}.norm1.{rest...}'],
  ['backbone.{rest...}', '{rest...}'],
  ['inv_freq', null],
]);

it('renames there and back', () => {
  expect(map.toModel('backbone.embedding.weight')).toBe('embeddings.weight');
  expect(map.toModel('backbone.layers.12.norm.weight')).toBe('layers.12.norm1.weight');
  expect(map.toModel('backbone.norm_f.weight')).toBe('norm_f.weight');
  expect(map.toModel('inv_freq')).toBeNull();
  expect(map.toFile('layers.12.norm1.weight')).toBe('backbone.layers.12.norm.weight');
  expect(mapKeys([['a.b', 'c']]).toModel('aXb')).toBe('aXb');
  expect(mapKeys([['a', 'b']]).toModel('other')).toBe('other');
});

it('is the identity there and back for every name under the rules', () => {
  const part = fc.stringMatching(/^[a-z_0-9]{1,6}$/);
  fc.assert(
    fc.property(fc.nat(99), fc.array(part, { minLength: 1, maxLength: 3 }), (i, rest) => {
      const name = `backbone.layers.${i}.norm.${rest.join('.')}`;
      expect(map.toFile(map.toModel(name)!)).toBe(name);
    }),
  );
});

it('refuses rules that lose something', () => {
  expect(() => mapKeys([['a.{i}', 'b'], ['c', 'd.{j}']])).toThrow(/same placeholders, once each: a\.\{i\} → b; c → d\.\{j\}/);
  expect(() => renameAll(['a.1', 'a.2'], () => 'x')).toThrow(/a\.1 and a\.2 both become x/);
});
