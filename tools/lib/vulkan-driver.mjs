// A Vulkan driver that is no part of the system: the variables that point the Vulkan loader at it.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Writes the driver's manifest (it must hold an absolute path) and returns the variables.
 * @param {string} folder where the manifest goes
 * @param {{ driver: string, loader?: string, apiVersion: string }} files
 */
export function driverEnvironment(folder, { driver, loader, apiVersion }) {
  const manifest = join(folder, 'icd.json');
  writeFileSync(manifest, JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: driver, api_version: apiVersion } }));
  const folders = [...new Set([dirname(driver), ...(loader ? [dirname(loader)] : [])])];
  return { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest, LD_LIBRARY_PATH: folders.join(':') };
}
