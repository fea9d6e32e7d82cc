// Finds or fetches a Vulkan driver under which Dawn (WebGPU in Node) has an adapter: the system's own (a real GPU, or an installed
// software driver), else Mesa's lavapipe out of the distribution's packages, else SwiftShader out of npm. The last two run on the CPU.
// Usage: node tools/setup-vulkan.mjs [--env] [--software]
//   --env       prints `export NAME=value` lines for a shell instead of a report
//   --software  passes over the system's driver
// Exit status 1 with one line why when there is none. The choice is stored in the cache, where tools/launch.mjs and vitest look.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lavapipe } from './lib/lavapipe.mjs';
import { npmChromium, unpackBrotli } from './lib/npm-chromium.mjs';
import { Unavailable } from './lib/run.mjs';
import { driverEnvironment } from './lib/vulkan-driver.mjs';
import { choiceFile, storedChoice } from './lib/webgpu-environment.mjs';

const here = fileURLToPath(import.meta.url);

/** Returns `{ source, env, adapter }`; throws `Unavailable`. */
export async function setupVulkan({ software = false, log = (line) => console.error(`[setup-vulkan] ${line}`) } = {}) {
  const tried = [];
  const take = (source, env) => {
    const adapter = probe(env);
    if (typeof adapter === 'string') {
      tried.push(`${source}: ${adapter}`);
      return null;
    }
    const choice = { source, env, adapter };
    mkdirSync(dirname(choiceFile()), { recursive: true });
    writeFileSync(choiceFile(), JSON.stringify(choice, null, 2));
    return choice;
  };
  const stored = storedChoice();
  if (stored && (stored.source !== 'system' || !software)) {
    const choice = take(stored.source, stored.env);
    if (choice) return choice;
  }
  const sources = [
    ...(software ? [] : [['system', () => ({})]]),
    ['lavapipe', () => lavapipe(log)],
    ['SwiftShader', () => swiftShader(log)],
  ];
  for (const [source, environment] of sources) {
    try {
      const choice = take(source, await environment());
      if (choice) return choice;
    } catch (e) {
      if (!(e instanceof Unavailable)) throw e;
      tried.push(`${source}: ${e.message}`);
    }
  }
  rmSync(choiceFile(), { force: true });
  throw new Unavailable(tried.join('; '));
}

async function swiftShader(log) {
  const folder = await unpackBrotli(npmChromium(log), 'swiftshader');
  const driver = join(folder, 'libvk_swiftshader.so');
  return driverEnvironment(folder, { driver, loader: join(folder, 'libvulkan.so.1'), apiVersion: '1.0.5' });
}

/** The adapter under these variables, or why there is none. */
function probe(env) {
  const r = spawnSync(process.execPath, [join(dirname(here), 'lib', 'probe-webgpu.mjs')], { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 60_000 });
  if (r.status !== 0) return r.stderr.split('\n').find((l) => /error|couldn't/i.test(l))?.trim() ?? `the probe ended with ${r.status ?? r.signal}`;
  return JSON.parse(r.stdout.trim().split('\n').at(-1)) ?? 'no adapter';
}

if (process.argv[1] && resolve(process.argv[1]) === here) {
  try {
    const { source, env, adapter } = await setupVulkan({ software: process.argv.includes('--software') });
    if (process.argv.includes('--env')) for (const [k, v] of Object.entries(env)) console.log(`export ${k}='${v}'`);
    else console.log(`[setup-vulkan] ${source}: ${adapter.description || adapter.name} (${adapter.vendor} ${adapter.architecture}${adapter.isSoftware ? ', software' : ''})`);
  } catch (e) {
    if (!(e instanceof Unavailable)) throw e;
    console.error(`[setup-vulkan] not available: ${e.message}`);
    process.exitCode = 1;
  }
}
