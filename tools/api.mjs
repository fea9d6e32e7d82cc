// The public interface of each package as text: packages/*/api.txt, one declaration per export of each entry, sorted, without comments.
// A change of it shows in the diff of a pull request, and the check fails until it is meant.
// Usage: node tools/api.mjs [--update]
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Entries of a package by subpath, from its `exports` map and the layout every package has. */
function entries(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Object.keys(manifest.exports)
    .filter((k) => k !== './package.json')
    .map((subpath) => {
      const name = subpath === '.' ? 'index' : subpath.slice(2);
      const file = [`src/${name}/index.ts`, `src/${name}.ts`].map((f) => join(folder, f)).find(existsSync);
      if (!file) throw new Error(`[api] ${manifest.name}: no source for the export ${subpath}`);
      return { id: subpath === '.' ? manifest.name : `${manifest.name}/${name}`, file };
    });
}

/** All packages as text, by folder. */
function describe() {
  const folders = readdirSync(join(root, 'packages')).map((p) => join(root, 'packages', p));
  const all = new Map(folders.map((f) => [f, entries(f)]));
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, { ...ts.sys, readDirectory: () => [] }, root);
  const program = ts.createProgram([...all.values()].flat().map((e) => e.file), { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true, stripInternal: true, removeComments: true });
  const checker = program.getTypeChecker();
  const declared = new Map();
  /** The declarations of a source file as the compiler publishes them, by name. */
  const declarations = (source) => {
    if (!declared.has(source)) {
      let text = '';
      program.emit(source, (_, t) => (text = t), undefined, true);
      const parsed = ts.createSourceFile('d.ts', text, ts.ScriptTarget.ES2022, true);
      const byName = new Map();
      for (const s of parsed.statements) {
        const names = ts.isVariableStatement(s) ? s.declarationList.declarations.map((d) => d.name.getText()) : s.name ? [s.name.text] : [];
        for (const n of names) byName.set(n, [...(byName.get(n) ?? []), plain(s.getText())]);
      }
      declared.set(source, byName);
    }
    return declared.get(source);
  };
  return new Map(
    [...all].map(([folder, list]) => [
      join(folder, 'api.txt'),
      list
        .map(({ id, file }) => {
          const symbol = checker.getSymbolAtLocation(program.getSourceFile(file));
          const lines = (symbol ? checker.getExportsOfModule(symbol) : [])
            .sort((a, b) => (a.name < b.name ? -1 : 1))
            .flatMap((s) => {
              const real = s.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(s) : s;
              const source = real.declarations?.[0]?.getSourceFile();
              if (!source || !source.fileName.startsWith(root) || source.fileName.includes('node_modules')) return [`${s.name}: from outside`];
              const texts = declarations(source).get(real.name) ?? ['?'];
              return texts.map((t) => (real.name === s.name ? t : `${s.name} = ${t}`));
            });
          return `# ${id}\n${lines.join('\n')}\n`;
        })
        .join('\n'),
    ]),
  );
}

/** One declaration on one line; private members are nobody's interface. */
function plain(text) {
  return text
    .replace(/^export (default )?/, '')
    .replace(/^declare /, '')
    .replace(/^\s*private [^;]*;\n?/gm, '')
    .replace(/\s+/g, ' ')
    .trim();
}

const update = process.argv.includes('--update');
let changed = 0;
for (const [path, text] of describe()) {
  const name = relative(root, path);
  const old = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (old === text) continue;
  changed++;
  if (update) {
    writeFileSync(path, text);
    console.log(`[api] ${name} written`);
    continue;
  }
  const before = new Set(old.split('\n'));
  const after = new Set(text.split('\n'));
  console.log(`[api] ${name} is not what the package exports:`);
  for (const l of before) if (!after.has(l)) console.log(`  - ${l.slice(0, 160)}`);
  for (const l of after) if (!before.has(l)) console.log(`  + ${l.slice(0, 160)}`);
}
if (changed && !update) console.log('[api] Hint: when that is meant, `pnpm api:update` and commit api.txt.');
process.exitCode = changed && !update ? 1 : 0;
