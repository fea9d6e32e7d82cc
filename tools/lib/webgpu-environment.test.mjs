import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { choiceFile, storedChoice, withWebgpu } from './webgpu-environment.mjs';

let folder;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bytelm-cache-'));
  vi.stubEnv('BYTELM_CACHE', folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

it('selects the stored driver unless the user selected one, and forgets a driver that is gone', () => {
  expect(withWebgpu({ A: '1' })).toEqual({ A: '1' });
  const manifest = join(folder, 'icd.json');
  writeFileSync(manifest, '{}');
  writeFileSync(choiceFile(), JSON.stringify({ source: 'x', env: { VK_DRIVER_FILES: manifest, LD_LIBRARY_PATH: '/drivers' }, adapter: {} }));
  expect(withWebgpu({ LD_LIBRARY_PATH: '/mine' })).toEqual({ VK_DRIVER_FILES: manifest, LD_LIBRARY_PATH: '/drivers:/mine' });
  expect(withWebgpu({ VK_ICD_FILENAMES: '/own.json' })).toEqual({ VK_ICD_FILENAMES: '/own.json' });
  rmSync(manifest);
  expect(storedChoice()).toBeNull();
});
