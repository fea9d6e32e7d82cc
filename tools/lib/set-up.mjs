// What tests need beside the sources, each got by a script of its own: tools/setup-NAME.mjs.
import { child } from './child.mjs';
import { tail } from './tally.mjs';

/**
 * Runs the scripts beside each other.
 * @param {string} root @param {(string | undefined)[]} names
 * @returns {Promise<Map<string, string>>} why there is none, of those that could not be had
 */
export async function setUp(root, names) {
  const missing = new Map();
  const one = async (name) => {
    const run = await child(process.execPath, [`tools/setup-${name}.mjs`], { cwd: root });
    if (!run.ok) missing.set(name, tail(run.output, 1));
  };
  await Promise.all([...new Set(names)].filter(Boolean).map(one));
  return missing;
}
