// Mesa's software Vulkan driver out of the distribution's own packages, unpacked into the cache: nothing is installed, no root is needed.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot, fillFolder } from './cache.mjs';
import { has, run, Unavailable } from './run.mjs';
import { driverEnvironment } from './vulkan-driver.mjs';

const SOURCES = '/etc/apt/sources.list.d/debian.sources';

/** Returns the environment that selects lavapipe; throws `Unavailable`. */
export function lavapipe(log) {
  const target = join(cacheRoot(), 'lavapipe');
  if (!existsSync(target)) {
    if (!has('apt-get') || !has('dpkg-deb')) throw new Unavailable('no apt-get on this system');
    log("fetching Mesa's software Vulkan driver by apt-get (about 25 MB, once)");
    fillFolder(target, fetch);
  }
  const find = (folder, pattern) => {
    for (const e of readdirSync(folder, { withFileTypes: true, recursive: true })) if (pattern.test(e.name)) return join(e.parentPath, e.name);
    throw new Unavailable(`${pattern} is not in the downloaded packages`);
  };
  return driverEnvironment(target, {
    driver: find(join(target, 'usr', 'lib'), /^libvulkan_lvp\.so$/),
    // The loader may have been installed already; then it is not among the downloads.
    loader: existsSync(join(target, 'usr')) ? findOptional(join(target, 'usr', 'lib'), /^libvulkan\.so\.1$/) : undefined,
    apiVersion: JSON.parse(readFileSync(find(join(target, 'usr', 'share', 'vulkan'), /^lvp_icd.*\.json$/), 'utf8')).ICD.api_version,
  });
}

function findOptional(folder, pattern) {
  const e = readdirSync(folder, { withFileTypes: true, recursive: true }).find((f) => pattern.test(f.name));
  return e && join(e.parentPath, e.name);
}

/** apt with lists and archives of its own: sees the system's sources (and Debian's backports, whose Mesa is new enough), changes nothing. */
function fetch(folder) {
  const apt = join(folder, 'apt');
  for (const d of ['lists/partial', 'archives/partial', 'sources']) mkdirSync(join(apt, d), { recursive: true });
  const options = [`Dir::State::lists=${apt}/lists`, `Dir::Cache=${apt}`, `Dir::Cache::archives=${apt}/archives`, 'Debug::NoLocking=1', 'APT::Sandbox::User='];
  let release = [];
  const isBookworm = existsSync('/etc/os-release') && /VERSION_CODENAME=bookworm/.test(readFileSync('/etc/os-release', 'utf8'));
  if (isBookworm && existsSync(SOURCES)) {
    // The stanzas of the system with one more suite: the Mesa of bookworm itself is refused by Dawn.
    const stanzas = readFileSync(SOURCES, 'utf8').split(/\n\s*\n/);
    const main = stanzas.find((s) => /^Suites:.*\bbookworm\b/m.test(s)) ?? stanzas[0];
    writeFileSync(join(apt, 'sources', 'all.sources'), `${stanzas.join('\n\n')}\n\n${main.replace(/^Suites:.*/m, 'Suites: bookworm-backports')}\n`);
    options.push(`Dir::Etc::sourceparts=${apt}/sources`, 'Dir::Etc::sourcelist=/dev/null');
    release = ['-t', 'bookworm-backports'];
  }
  const flags = options.flatMap((o) => ['-o', o]);
  run('apt-get', ['-q', ...flags, 'update']);
  run('apt-get', ['-q', '-y', ...flags, ...release, '--no-install-recommends', '--download-only', '--reinstall', 'install', 'mesa-vulkan-drivers', 'libvulkan1'], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  const debs = readdirSync(join(apt, 'archives')).filter((f) => f.endsWith('.deb'));
  if (!debs.length) throw new Unavailable('apt-get found no package of the driver');
  for (const deb of debs) run('dpkg-deb', ['-x', join(apt, 'archives', deb), folder]);
  run('rm', ['-rf', apt]);
}
