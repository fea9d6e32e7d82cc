export function leafProblems(bytes: Uint8Array): string[];
