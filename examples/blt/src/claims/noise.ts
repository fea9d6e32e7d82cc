/** The five ways to spoil a text of BLT's robustness test (arXiv 2412.09871, section 6.1), drawn reproducibly. */
export const NOISES = ['AntSpeak', 'Drop', 'RandomCase', 'Repeat', 'UpperCase'] as const;
export type Noise = (typeof NOISES)[number];

const MASK = 0xffffffffffffffffn;

/** splitmix64, seeded by what is spoiled, so that it does not depend on order. @param field 0: the context, 1: the text behind it. */
export function noiseSource(seed: number, item: number, noise: Noise, field: number): () => number {
  let state = (BigInt(seed) * 0x9e3779b97f4a7c15n) & MASK;
  state ^= (BigInt(item * 16 + NOISES.indexOf(noise)) * 0xbf58476d1ce4e5b9n) & MASK;
  state ^= (BigInt(field) * 0x94d049bb133111ebn) & MASK;
  return () => {
    state = (state + 0x9e3779b97f4a7c15n) & MASK;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
    return Number((z ^ (z >> 31n)) >> 11n) / 2 ** 53;
  };
}

/** Characters are code points; r is one draw for each. */
export function spoil(text: string, noise: Noise, random: () => number): string {
  const characters = Array.from(text);
  switch (noise) {
    case 'AntSpeak':
      return Array.from(text.toUpperCase()).join(' ');
    case 'Drop': {
      const kept = characters.filter(() => random() >= 0.1);
      return kept.length ? kept.join('') : (characters[0] ?? '');
    }
    case 'RandomCase':
      return characters.map((c) => (random() < 0.5 ? c.toUpperCase() : c.toLowerCase())).join('');
    case 'Repeat':
      return characters.map((c) => (random() < 0.2 ? c.repeat(2 + Math.floor(3 * random())) : c)).join('');
    case 'UpperCase':
      return text.toUpperCase();
  }
}
