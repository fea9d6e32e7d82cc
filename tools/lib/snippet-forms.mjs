// One README program as the three kinds of consumer have it.
import { transformSync } from 'esbuild';

/** @param {string} code TypeScript @returns {string} an ES module in plain JavaScript */
export const asModule = (code) => transformSync(code, { loader: 'ts', format: 'esm', target: 'es2022' }).code;

/** @param {string} code @returns {string} CommonJS, where `await` needs a function around it */
export function asCommonJs(code) {
  const requires = [];
  const body = asModule(code).replace(/^import\s+(?:(.+?)\s+from\s+)?["']([^"']+)["'];\s*$/gm, (_, what, name) => {
    const target = what?.replace(/^\*\s+as\s+/, '').replace(/\s+as\s+/g, ': ');
    requires.push(what ? `const ${target} = require('${name}');` : `require('${name}');`);
    return '';
  });
  return `${requires.join('\n')}\n(async () => {\n${body}\n})().catch((e) => { console.error(e); process.exit(1); });\n`;
}

/** A page that runs the program and reports its end on the console. */
export const asPage = (module) => `import(${JSON.stringify(module)}).then(() => console.log('[[done]]'), (e) => console.log('[[failed]] ' + (e && e.stack || e)));\n`;
