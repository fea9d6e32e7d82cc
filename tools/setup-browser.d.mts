export function setupBrowser(options?: { log?: (line: string) => void }): Promise<{ executablePath: string; adapter: string }>;
