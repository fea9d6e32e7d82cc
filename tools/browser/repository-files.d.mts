import type { Plugin } from 'vitest/config';

export function repositoryFiles(root: string): Plugin;
