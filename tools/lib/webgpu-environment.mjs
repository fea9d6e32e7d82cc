// What tools/setup-vulkan.mjs found, for those who start processes: the variables under which Dawn finds an adapter.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot } from './cache.mjs';

export const choiceFile = () => join(cacheRoot(), 'vulkan.json');

/** The stored choice, or `null` when the set-up did not run or found nothing. */
export function storedChoice() {
  try {
    const choice = JSON.parse(readFileSync(choiceFile(), 'utf8'));
    const files = [choice.env.VK_DRIVER_FILES].filter(Boolean);
    return files.every((f) => existsSync(f)) ? choice : null;
  } catch {
    return null;
  }
}

/** `env` with the stored driver selected; a driver that the user selected stays. */
export function withWebgpu(env = process.env) {
  const choice = storedChoice();
  if (!choice || env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES) return { ...env };
  const out = { ...env, ...choice.env };
  if (choice.env.LD_LIBRARY_PATH && env.LD_LIBRARY_PATH) out.LD_LIBRARY_PATH = `${choice.env.LD_LIBRARY_PATH}:${env.LD_LIBRARY_PATH}`;
  return out;
}
