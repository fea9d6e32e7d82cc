import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { undeclaredImports } from './dist-imports.mjs';

const folder = mkdtempSync(join(tmpdir(), 'bytelm-dist-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('finds imports that the manifest does not declare, and bundled backends', () => {
  mkdirSync(join(folder, 'dist'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ dependencies: { good: '1' }, peerDependencies: { '@scope/peer': '1' } }));
  writeFileSync(join(folder, 'dist', 'a.js'), "import x from 'good/sub';import * as y from \"@scope/peer\";\nexport { z } from './b.js';\nawait import('node:fs');\nimport bad from 'bad-one';");
  writeFileSync(join(folder, 'dist', 'b.cjs'), "var t = require('bad-two/sub'); require('good'); class WebGPUBackend {}");
  writeFileSync(join(folder, 'dist', 'c.d.ts'), "import { T } from '@scope/other';");
  expect(undeclaredImports(folder)).toEqual([
    'dist/a.js imports bad-one, which package.json does not declare',
    'dist/b.cjs imports bad-two/sub, which package.json does not declare',
    'dist/b.cjs contains a tfjs backend (class WebGPUBackend)',
    'dist/c.d.ts imports @scope/other, which package.json does not declare',
  ]);
});
