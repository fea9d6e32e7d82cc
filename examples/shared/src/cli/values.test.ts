import { describe, expect, it } from 'vitest';
import { compact, count, duration, rate } from './format.js';
import { byteRange, numberList, real, whole } from './values.js';

describe('values of options', () => {
  it('reads whole numbers, with separators, within limits', () => {
    expect(whole()('8_042_244')).toBe(8042244);
    expect(whole(0)('0')).toBe(0);
    for (const text of ['', ' ', '1.5', '-1', 'x', '1e400', 'NaN']) expect(() => whole(0)(text), text).toThrow(/whole number/);
    expect(() => whole(1, 5)('6')).toThrow(/from 1 to 5/);
  });

  it('reads numbers within limits', () => {
    expect(real(0)('2e-3')).toBe(0.002);
    for (const text of ['', 'x', 'Infinity', '-0.1', '1.1']) expect(() => real(0, 1)(text), text).toThrow(/from 0 to 1/);
  });

  it('reads byte ranges', () => {
    expect(byteRange('0:8_042')).toEqual([0, 8042]);
    expect(byteRange('5:')).toEqual([5, null]);
    expect(byteRange(':9')).toEqual([0, 9]);
    for (const text of [':', '', '5', '9:5', '5:5', 'a:b', '-1:4', '1:2:3']) expect(() => byteRange(text), text).toThrow();
  });

  it('reads lists of numbers', () => {
    expect(numberList('2.5,1')).toEqual([2.5, 1]);
    expect(numberList('none')).toEqual([]);
    for (const text of ['1,,2', 'a', '1;2', '-1']) expect(() => numberList(text), text).toThrow(/commas/);
  });
});

describe('numbers for people', () => {
  it('groups, shortens and names times', () => {
    expect([count(0), count(999), count(1234567)]).toEqual(['0', '999', '1,234,567']);
    expect([compact(12), compact(1470896), compact(679405312), compact(1.6e9)]).toEqual(['12', '1.47 M', '679 M', '1.60 G']);
    expect([duration(0.4), duration(59.6), duration(312), duration(7380), duration(NaN)]).toEqual(['0s', '1m 00s', '5m 12s', '2h 03m', '?']);
    expect([rate(0.034), rate(9.5), rate(1234.5)]).toEqual(['0.03', '9.50', '1,235']);
  });
});
