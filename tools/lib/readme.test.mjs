import { expect, it } from 'vitest';
import { codeBlocks, programs, shellScripts } from './readme.mjs';
import { asCommonJs } from './snippet-forms.mjs';

const TEXT = `
\`\`\`ts
const a = 1;
\`\`\`
- in a list:
  \`\`\`ts continue
  console.log(a);
  \`\`\`

\`\`\`ts no-run
throw 1;
\`\`\`
\`\`\`sh
npm install x
# and
cd y
\`\`\`
\`\`\`sh
$ echo 1
npm install x
\`\`\`
\`\`\`sh no-run
rm -rf /
\`\`\`
\`\`\`json
{}
\`\`\`
`;

it('finds the examples to run', () => {
  const blocks = codeBlocks(TEXT);
  expect(blocks.map((b) => [b.language, b.line])).toEqual([['ts', 3], ['ts', 7], ['ts', 11], ['sh', 14], ['sh', 19], ['sh', 23], ['json', 26]]);
  expect(programs(blocks).map((p) => p.code)).toEqual(['const a = 1;\n', 'const a = 1;\n\nconsole.log(a);\n']);
  expect(shellScripts(blocks).map((p) => p.code)).toEqual(['echo 1\nnpm install x\n']);
});

it('turns a module into CommonJS', async () => {
  const code = "import * as path from 'node:path';\nimport { EOL as end, type Foo, cpus } from 'node:os';\nimport 'node:fs';\nconst x: string = await Promise.resolve(path.sep + end);\nout(x, cpus);";
  const made = asCommonJs(code);
  expect(made).not.toMatch(/^import/m);
  const seen = [];
  await new Promise((done) => new Function('require', 'out', 'process', made)((n) => ({ 'node:path': { sep: '/' }, 'node:os': { EOL: '!', cpus: 7 }, 'node:fs': {} })[n], (...a) => done(seen.push(...a)), { exit: done }));
  expect(seen).toEqual(['/!', 7]);
});
