// Code blocks of Markdown files, as the documentation tests run them.

/**
 * @typedef {{ language: string, marks: string[], code: string, line: number }} CodeBlock  `marks` are the words after the language.
 * @param {string} markdown @returns {CodeBlock[]}
 */
export function codeBlocks(markdown) {
  const blocks = [];
  let open = null;
  markdown.split('\n').forEach((text, i) => {
    const fence = /^(\s*)(`{3,}|~{3,})\s*(.*)$/.exec(text);
    if (!open && fence) {
      const [language = '', ...marks] = fence[3].trim().split(/\s+/);
      open = { fence: fence[2], indent: fence[1].length, block: { language, marks, code: '', line: i + 2 } };
    } else if (open && fence && fence[2].startsWith(open.fence) && !fence[3]) {
      blocks.push(open.block);
      open = null;
    } else if (open) open.block.code += `${text.slice(Math.min(open.indent, text.length - text.trimStart().length))}\n`;
  });
  return blocks;
}

/** The programs of a file: blocks of TypeScript, one marked `continue` stands after the block before it. `no-run` blocks are left out. */
export function programs(blocks) {
  const out = [];
  let before = '';
  for (const b of blocks) {
    if (!['ts', 'typescript'].includes(b.language)) continue;
    const code = b.marks.includes('continue') ? `${before}\n${b.code}` : b.code;
    if (b.marks.includes('no-run')) continue;
    before = code;
    out.push({ ...b, code });
  }
  return out;
}

/** Shell blocks to run: not those marked `no-run`, and not those that only install or fetch. */
export function shellScripts(blocks) {
  const setsUp = /^(npm (i|install)|pnpm (i|add|install)|yarn add|git clone|cd )\b/;
  return blocks
    .filter((b) => ['sh', 'bash', 'shell'].includes(b.language) && !b.marks.includes('no-run'))
    .map((b) => ({ ...b, code: b.code.replace(/^\$ /gm, '') }))
    .filter((b) => !b.code.split('\n').every((l) => !l.trim() || l.trim().startsWith('#') || setsUp.test(l.trim())));
}
