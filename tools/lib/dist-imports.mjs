// What built files import against what their package declares: catches a backend or a dev dependency that got bundled or forgotten.
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';

/** `import … from 'x'`, `export … from 'x'`, `import('x')`, `require('x')`. */
const IMPORT = /(?:^|[;\s])(?:import|export)\b[^'";]*?from\s*['"]([^'"\n]+)['"]|(?:import|require)\(\s*['"]([^'"\n]+)['"]\s*\)/g;

/** @param {string} folder of the package @returns {string[]} problems */
export function undeclaredImports(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const declared = new Set([...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.peerDependencies ?? {}), ...builtinModules]);
  const problems = [];
  for (const file of readdirSync(join(folder, 'dist'))) {
    if (!/\.(js|cjs|d\.ts|d\.cts)$/.test(file)) continue;
    const text = readFileSync(join(folder, 'dist', file), 'utf8');
    for (const match of text.matchAll(IMPORT)) {
      const specifier = match[1] ?? match[2];
      if (specifier.startsWith('.') || specifier.startsWith('node:')) continue;
      const name = specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
      if (!declared.has(name)) problems.push(`dist/${file} imports ${specifier}, which package.json does not declare`);
    }
    // A class of each backend that would only be here if the backend were.
    for (const mark of ['MathBackendCPU = ', 'class WebGPUBackend', 'class BackendWasm', 'NodeJSKernelBackend = ']) {
      if (text.includes(mark)) problems.push(`dist/${file} contains a tfjs backend (${mark.trim()})`);
    }
  }
  return problems;
}
