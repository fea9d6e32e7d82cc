/** In a page this stands in for `node:url`: the address of a module is its path inside the repository. */
export const fileURLToPath = (url: string | URL): string => decodeURIComponent(new URL(url).pathname);
