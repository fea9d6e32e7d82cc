import { expect, it } from 'vitest';
import { once } from '../src/worker/once.js';

it('keeps what was made, and tries again after a failure', async () => {
  let calls = 0;
  const made = once(async () => {
    if (++calls === 1) throw new Error('no network');
    return { calls };
  });
  await expect(made()).rejects.toThrow('no network');
  const [a, b] = await Promise.all([made(), made()]);
  expect(a).toBe(b);
  expect(await made()).toBe(a);
  expect(calls).toBe(2);
});
