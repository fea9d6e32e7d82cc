import { expect, it } from 'vitest';
import { NOISES, noiseSource, spoil } from './noise.js';

const text = 'It was a dark and stormy night; the rain fell in torrents. '.repeat(40);
const spoiled = (noise: (typeof NOISES)[number], seed = 0) => spoil(text, noise, noiseSource(seed, 3, noise, 0));

it('spoils as much as it should', () => {
  expect(spoil('ab c', 'AntSpeak', () => 0)).toBe('A B   C');
  expect(spoil('Straße', 'UpperCase', () => 0)).toBe('STRASSE');
  const kept = spoiled('Drop').length / text.length;
  expect(Math.abs(kept - 0.9)).toBeLessThan(0.03);
  // A fifth of the characters appears twice to four times: three on average.
  expect(Math.abs(spoiled('Repeat').length / text.length - 1.4)).toBeLessThan(0.06);
  const upper = [...spoiled('RandomCase')].filter((c) => /[A-Z]/.test(c)).length / [...text].filter((c) => /[A-Za-z]/.test(c)).length;
  expect(Math.abs(upper - 0.5)).toBeLessThan(0.04);
  expect(spoil('a', 'Drop', () => 0)).toBe('a');
});

it('is the same for the same seed and item, another for another', () => {
  for (const noise of ['Drop', 'RandomCase', 'Repeat'] as const) {
    expect(spoiled(noise)).toBe(spoiled(noise));
    expect(spoiled(noise, 1)).not.toBe(spoiled(noise));
  }
});
