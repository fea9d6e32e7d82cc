/** In a page this stands in for `node:path`: paths with slashes that begin at the repository. */
function normalize(path: string): string {
  const out: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..' && out.length && out.at(-1) !== '..') out.pop();
    else if (part && part !== '.' && !(part === '..' && path.startsWith('/'))) out.push(part);
  }
  return (path.startsWith('/') ? '/' : '') + out.join('/') || '.';
}

export const join = (...parts: string[]): string => normalize(parts.filter(Boolean).join('/'));
export const resolve = (...parts: string[]): string => normalize(parts.reduce((a, b) => (b.startsWith('/') ? b : `${a}/${b}`), '/'));
export const dirname = (path: string): string => {
  const whole = normalize(path);
  const end = whole.lastIndexOf('/');
  return end < 0 ? '.' : whole.slice(0, end) || '/';
};
export const basename = (path: string, suffix = ''): string => {
  const name = normalize(path).split('/').at(-1)!;
  return name !== suffix && name.endsWith(suffix) ? name.slice(0, name.length - suffix.length) : name;
};
